//! The rules of a call on this edge. Pure: no sockets, no tasks, no clock; time is an argument.
//!
//! [`leg`] is the state machine of one media stream, [`attach`], [`redirect`] and [`outcome`] its beginning and end;
//! [`playout`] and [`uplink`] are its two directions of audio, and `played` is how far the caller has heard the agent;
//! [`ticket`] is what ties a media socket to the webhook that announced it, [`placed`] what a call that was placed here
//! takes with it. [`course`] is what follows a leg or a transfer, [`reported`] what Twilio tells of a call beside it.

pub mod attach;
pub mod course;
pub mod leg;
pub mod outcome;
pub mod placed;
mod played;
pub mod playout;
pub mod reception;
pub mod redirect;
pub mod reported;
pub mod ticket;
pub mod uplink;
