//! The gRPC contract between the edge and the sonic-worker, generated from `voice/v1/*.proto`.
//!
//! The `.proto` files say what every field means and what it means when unset; this crate adds nothing.
//! Conversions to and from domain types live where they are used.

/// `offhook.voice.v1`: a leg's conversation, and questions about a call.
pub mod voice {
    #[allow(
        missing_docs,
        unreachable_pub,
        unused_qualifications,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        clippy::wildcard_enum_match_arm,
        reason = "generated code: the .proto files carry the words"
    )]
    pub mod v1 {
        tonic::include_proto!("offhook.voice.v1");
    }
}

/// Encoded descriptors of the contract, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/offhook_voice_v1.bin"));
