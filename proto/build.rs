//! Compiles the contract in pure Rust, so that no `protoc` has to be installed.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=voice");
    let descriptors = protox::compile(["voice/v1/conversations.proto", "voice/v1/calls.proto"], ["."])?;
    #[expect(clippy::disallowed_methods, reason = "a build script is configured by cargo through its environment")]
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("offhook_voice_v1.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure().bytes(".").compile_fds(descriptors)?;
    Ok(())
}
