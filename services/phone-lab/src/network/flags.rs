//! The flags of commands that have a network in between.

use clap::Args;

use super::Conditions;

/// The network between Twilio and the server that it calls.
#[derive(Args, Clone, Debug, Default)]
pub struct TwilioNetwork {
    /// What the network to the edge is like, such as delay=40ms,jitter=20ms,burst=200ms/2s,from.rate=64kbit,cut=rst@12s.
    #[arg(long, value_name = "CONDITIONS", value_parser = Conditions::of_twilio)]
    twilio_network: Option<Conditions>,
}

impl TwilioNetwork {
    /// What was asked for.
    pub fn conditions(&self) -> Option<&Conditions> {
        self.twilio_network.as_ref()
    }
}

/// The network between Bedrock and its clients.
#[derive(Args, Clone, Debug, Default)]
pub struct BedrockNetwork {
    /// What the network to the simulated Bedrock's clients is like, such as delay=40ms,jitter=20ms,cut=goaway@30s.
    #[arg(long, value_name = "CONDITIONS", value_parser = Conditions::of_bedrock)]
    bedrock_network: Option<Conditions>,
}

impl BedrockNetwork {
    /// What was asked for.
    pub fn conditions(&self) -> Option<&Conditions> {
        self.bedrock_network.as_ref()
    }
}
