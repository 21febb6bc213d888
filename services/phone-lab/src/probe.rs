//! Asks the real services what their simulators only suppose.
//!
//! Both probes do the same to a real service and to its simulator and compare: nothing is expected in advance, the
//! simulator's own behaviour is the expectation, so what differs is what has to be mended or switched in the simulator.

pub mod bedrock;
pub mod twilio;

use clap::Subcommand;
use offhook_hosting::clock::Clock;

/// Which service.
#[derive(Subcommand)]
pub enum Probe {
    /// Break each rule of the simulated Bedrock at a real one as well. Takes minutes and costs some cents.
    ///
    /// Credentials come from where AWS's tools find them.
    Bedrock(bedrock::Options),
    /// Answer one call from a real Twilio, and see what it does where its documentation is silent.
    Twilio(twilio::Options),
}

impl Probe {
    /// Runs the probe and prints what it found; true if the service does what the simulator does.
    ///
    /// # Errors
    /// If there is nobody to ask, or nothing to ask with.
    pub async fn run(self, clock: Clock) -> anyhow::Result<bool> {
        match self {
            Self::Bedrock(options) => bedrock::run(options, clock).await,
            Self::Twilio(options) => twilio::run(options, clock).await,
        }
    }
}
