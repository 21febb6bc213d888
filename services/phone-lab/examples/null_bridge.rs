//! The null bridge of the load tests as a process of its own, to measure what `phone-lab load --echo` itself takes.
//! Prints its address, and serves until it is killed.

#![expect(clippy::unwrap_used, reason = "it is of use to tests only")]
#![expect(dead_code, reason = "it does nothing wrong here")]

#[path = "../tests/load/bridge.rs"]
mod bridge;

use std::future::pending;

#[tokio::main]
async fn main() {
    let bridge = bridge::Bridge::start(|_| bridge::Deed::Echo).await;
    println!("http://{}", bridge.address);
    pending::<()>().await;
}
