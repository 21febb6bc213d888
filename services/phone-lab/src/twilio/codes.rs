//! The codes of Twilio's debugger that the lab records (Twilio error dictionary).

/// A URL that cannot be requested.
pub const MALFORMED_URL: u32 = 11100;
/// The answer was an error, or took more than 15 s.
pub const RETRIEVAL: u32 = 11200;
/// No connection, or it ended before the answer.
pub const CONNECTION: u32 = 11205;
/// The answer was not HTTP.
pub const HTTP_VIOLATION: u32 = 11206;
/// The host is not one that the lab knows.
pub const NO_SUCH_HOST: u32 = 11210;
/// More than ten redirects.
pub const TOO_MANY_REDIRECTS: u32 = 11215;
/// TwiML larger than 64 kB.
pub const TOO_LARGE: u32 = 11750;
/// A chunked answer without a body.
pub const EMPTY_CHUNKED: u32 = 11770;
/// The document cannot be parsed.
pub const PARSE_FAILURE: u32 = 12100;
/// Warning: a verb, attribute or nesting that the schema lacks.
pub const SCHEMA: u32 = 12200;
/// A Content-Type that cannot be used.
pub const CONTENT_TYPE: u32 = 12300;
/// A number to dial that is not E.164.
pub const NOT_E164: u32 = 13223;
/// A SIP address that is none.
pub const BAD_SIP_ADDRESS: u32 = 13243;
/// Warning: nothing to say.
pub const EMPTY_SAY: u32 = 13520;
/// Warning: a pause of no length.
pub const BAD_PAUSE: u32 = 13910;
/// Nobody answered the stream's connection request in time.
pub const STREAM_TIMEOUT: u32 = 31901;
/// The stream's connection was refused.
pub const STREAM_REFUSED: u32 = 31902;
/// The stream's connection was cut.
pub const STREAM_CUT: u32 = 31903;
/// The upgrade was not answered with 101 as it must be.
pub const STREAM_HANDSHAKE: u32 = 31920;
/// The server closed the socket, on purpose or not.
pub const STREAM_CLOSED: u32 = 31921;
/// A stream URL that is not `wss`.
pub const STREAM_SCHEME: u32 = 31922;
/// A stream URL that is none.
pub const STREAM_URL: u32 = 31923;
/// The server broke the WebSocket protocol.
pub const STREAM_PROTOCOL: u32 = 31924;
/// Warning: the server reads too slowly, caller audio was dropped.
pub const STREAM_OVERFLOW: u32 = 31930;
/// Warning: more than ten minutes of audio queued; once per stream.
pub const AUDIO_DISCARDED: u32 = 31931;
/// A track that a two-way stream cannot have.
pub const STREAM_TRACK: u32 = 31941;
/// Warning: a binary message; once per stream.
pub const MALFORMED_MESSAGE: u32 = 31950;
/// Warning: a message of the wrong shape or stream; once per stream.
pub const INVALID_MESSAGE: u32 = 31951;
/// Not Twilio's: the lab itself objects, to a file's header in the audio (a caller would hear noise), or to a call that
/// goes round in circles.
pub const LAB: u32 = 0;
