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
/// A connection override whose value is none.
pub const BAD_OVERRIDE: u32 = 11240;
/// A connection override that names an unknown edge.
pub const UNKNOWN_EDGE: u32 = 11241;
/// A connection override that asks for Interconnect, which the account does not have.
pub const NO_INTERCONNECT: u32 = 11242;
/// A connection override with an unknown retry policy.
pub const BAD_RETRY_POLICY: u32 = 11243;
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
/// Warning: a callback was answered with an error.
pub const CALLBACK_REFUSED: u32 = 15003;
/// A relative URL in TwiML that came by REST and so from nowhere.
pub const NO_BASE: u32 = 15004;
/// A number to dial that is not E.164.
pub const NOT_E164: u32 = 13223;
/// Warning: a method of `<Sip>` that is neither GET nor POST.
pub const SIP_METHOD: u32 = 13241;
/// Warning: the `sendDigits` of `<Sip>` are no keys.
pub const SIP_SEND_DIGITS: u32 = 13242;
/// A SIP address that is none.
pub const BAD_SIP_ADDRESS: u32 = 13243;
/// `<Dial>` on a leg that was itself dialled.
pub const NESTED_DIAL: u32 = 13201;
/// Warning: a method of `<Dial>` that is neither GET nor POST.
pub const DIAL_METHOD: u32 = 13210;
/// Warning: the timeout of `<Dial>`.
pub const DIAL_TIMEOUT: u32 = 13212;
/// Warning: the `hangupOnStar` of `<Dial>` is neither true nor false.
pub const DIAL_HANGUP_ON_STAR: u32 = 13213;
/// Warning: a `callerId` that is no number.
pub const BAD_CALLER_ID: u32 = 13214;
/// Warning: something in `<Dial>` that cannot be dialled.
pub const DIAL_NESTED: u32 = 13215;
/// Warning: the `timeLimit` of `<Dial>`.
pub const DIAL_TIME_LIMIT: u32 = 13216;
/// Warning: a method of `<Number>` that is neither GET nor POST.
pub const NUMBER_METHOD: u32 = 13221;
/// Warning: the `sendDigits` of `<Number>` are no keys.
pub const NUMBER_SEND_DIGITS: u32 = 13222;
/// Warning: a `callerId` for a SIP address with characters that it cannot have.
pub const CALLER_ID_CHARACTERS: u32 = 13247;
/// More than ten parties to dial at once.
pub const TOO_MANY_LEGS: u32 = 13250;
/// A header of a SIP address that Twilio does not send on.
pub const SIP_HEADER_NAME: u32 = 13252;
/// Headers of a SIP address of 1024 characters or more.
pub const SIP_HEADERS_TOO_LONG: u32 = 13253;
/// Warning: the `finishOnKey` of `<Gather>` is no single key.
pub const GATHER_FINISH_ON_KEY: u32 = 13310;
/// Warning: a method of `<Gather>` that is neither GET nor POST.
pub const GATHER_METHOD: u32 = 13312;
/// Warning: the timeout of `<Gather>`.
pub const GATHER_TIMEOUT: u32 = 13313;
/// Warning: the `numDigits` of `<Gather>`.
pub const GATHER_NUM_DIGITS: u32 = 13314;
/// Warning: something in `<Gather>` that does not belong there.
pub const GATHER_NESTED: u32 = 13320;
/// Warning: an `input` of `<Gather>` that the lab does not understand.
pub const GATHER_INPUT: u32 = 13326;
/// Warning: the loop of a `<Say>` in a `<Gather>` is no number.
pub const GATHER_SAY_LOOP: u32 = 13322;
/// What the URL of a `<Play>` in a `<Gather>` gives is no audio.
pub const GATHER_PLAY_CONTENT_TYPE: u32 = 13325;
/// Warning: the loop of `<Play>` is no number.
pub const BAD_PLAY_LOOP: u32 = 13410;
/// What the URL of a `<Play>` gives is no audio.
pub const PLAY_CONTENT_TYPE: u32 = 13420;
/// Warning: the loop of `<Say>` is no number.
pub const BAD_SAY_LOOP: u32 = 13510;
/// Warning: nothing to say.
pub const EMPTY_SAY: u32 = 13520;
/// Warning: more than 4096 characters to say.
pub const SAY_TOO_LONG: u32 = 13521;
/// Warning: a method of `<Redirect>` that is neither GET nor POST.
pub const BAD_REDIRECT_METHOD: u32 = 13710;
/// Warning: a pause of no length.
pub const BAD_PAUSE: u32 = 13910;
/// Warning: a parameter that the REST interface does not know; it was ignored.
pub const UNKNOWN_PARAMETER: u32 = 20001;
/// REST: no or wrong credentials.
pub const NOT_AUTHENTICATED: u32 = 20003;
/// REST: a method that the resource does not take.
pub const METHOD_NOT_ALLOWED: u32 = 20004;
/// REST: a call that goes on cannot be deleted.
pub const NOT_FINISHED: u32 = 20009;
/// REST: there is no such thing, or it is another account's.
pub const NOT_FOUND: u32 = 20404;
/// REST: too many requests; this one was not processed.
pub const TOO_MANY_REQUESTS: u32 = 20429;
/// REST: a call without `To`.
pub const NO_TO: u32 = 21201;
/// REST: a URL that is missing or none.
pub const BAD_URL: u32 = 21205;
/// REST: keys to press that are none.
pub const BAD_SEND_DIGITS: u32 = 21206;
/// REST: a time to ring, or to last, that is none.
pub const BAD_TIMEOUT: u32 = 21208;
/// REST: a method that is neither GET nor POST.
pub const BAD_METHOD: u32 = 21209;
/// REST: a `From` that is not the account's.
pub const FOREIGN_FROM: u32 = 21210;
/// REST: a `To` that is no number.
pub const BAD_TO: u32 = 21211;
/// REST: a `From` that is no number.
pub const BAD_FROM: u32 = 21212;
/// REST: a call without `From`.
pub const NO_FROM: u32 = 21213;
/// REST: a TwiML application that does not exist.
pub const BAD_APPLICATION: u32 = 21218;
/// REST: the call is not in a state for this.
pub const BAD_CALL_STATE: u32 = 21220;
/// Warning: asynchronous detection without a callback to tell.
pub const DETECTION_UNTOLD: u32 = 21262;
/// REST: a status callback that is no URL, or too long.
pub const BAD_STATUS_CALLBACK: u32 = 21609;
/// REST: the name of a SIP domain is taken.
pub const DOMAIN_TAKEN: u32 = 21231;
/// REST: a SIP domain that is none.
pub const BAD_DOMAIN: u32 = 21232;
/// REST: a list of SIP credentials that is none.
pub const BAD_CREDENTIAL_LIST: u32 = 21240;
/// REST: a SIP credential that is none, or easily guessed.
pub const BAD_CREDENTIAL: u32 = 21243;
/// REST: a URL of a number or domain that is none.
pub const BAD_NUMBER_URL: u32 = 21402;
/// REST: a method of a number or domain that is neither GET nor POST.
pub const BAD_NUMBER_METHOD: u32 = 21403;
/// REST: a fallback URL without a URL.
pub const FALLBACK_ALONE: u32 = 21405;
/// REST: a number to buy that is none.
pub const BAD_PHONE_NUMBER: u32 = 21421;
/// REST: a number to buy that is not for sale.
pub const NOT_FOR_SALE: u32 = 21422;
/// A SIP domain that lets nobody call.
pub const BAD_SIP_CREDENTIALS: u32 = 32202;
/// An event that a status callback cannot have; the call is made, the callback never.
pub const BAD_STATUS_EVENT: u32 = 21626;
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
/// REST: TwiML of more than 4000 characters.
pub const TWIML_TOO_LONG: u32 = 32018;
/// Warning: TwiML beside a URL; the URL is used.
pub const TWIML_AND_URL: u32 = 32019;
/// Not Twilio's: the lab itself objects (to a file's header in the audio, a second socket, a call that goes round in
/// circles), or says what Twilio can do and the lab cannot.
pub const LAB: u32 = 0;
