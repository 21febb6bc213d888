//! The body of a session's response.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::mpsc;

/// Frames handed to HTTP that it has not taken yet.
const OUTGOING: usize = 64;

/// What a session writes its response to. An error resets the stream.
pub(super) type Sender = mpsc::Sender<Result<Bytes, Reset>>;

/// The body of a response: frames as the session makes them. An error resets the stream.
pub(in super::super) struct Outgoing(mpsc::Receiver<Result<Bytes, Reset>>);

/// The stream is reset.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the stream is reset on purpose")]
pub(in super::super) struct Reset;

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Reset;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Reset>>> {
        self.0.poll_recv(cx).map(|frame| frame.map(|result| result.map(Frame::data)))
    }
}

/// The body that a new session will write, and the sender to hand to [`Session::run`].
pub(in super::super) fn outgoing() -> (Sender, Outgoing) {
    let (sender, receiver) = mpsc::channel(OUTGOING);
    (sender, Outgoing(receiver))
}
