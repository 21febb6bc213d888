//! The connection under a media socket, which can be made deaf to pings.

use std::{
    io::{IoSlice, Result},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::network::{Goodbye, Line, Record};

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Line,
    deafness: Option<Deafness>,
}

impl Wire {
    pub(super) fn new(stream: Line, deaf_to_pings: bool) -> Self {
        Self { stream, deafness: deaf_to_pings.then(Deafness::default) }
    }

    /// Whether, and when, something in between says goodbye.
    pub(crate) fn goodbye(&self) -> Goodbye {
        self.stream.goodbye()
    }

    /// What the network in between does, if there is one.
    pub(crate) fn record(&self) -> Option<Arc<Record>> {
        self.stream.record()
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        let known = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if let Some(deafness) = &mut self.deafness {
            deafness.pass(&mut buffer.filled_mut()[known..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// Makes a pong of each ping that arrives. A pong nobody asked for is answered by nobody (RFC 6455, section 5.5.3).
///
/// Pure: bytes go through in pieces of any size, after the head of the answer to the upgrade.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deafness {
    /// So much of the blank line that ends the answer's head has been seen.
    Head(usize),
    /// A frame begins.
    Opcode,
    /// Its second byte is next.
    Length,
    /// So many bytes of its length are still to come.
    Extended { left: u8, length: u64 },
    /// So much of it is still to come.
    Payload(u64),
}

const BLANK_LINE: &[u8] = b"\r\n\r\n";
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

impl Default for Deafness {
    fn default() -> Self {
        Self::Head(0)
    }
}

impl Deafness {
    fn pass(&mut self, bytes: &mut [u8]) {
        let mut rest = bytes;
        while let Some(byte) = rest.first_mut() {
            let mut taken = 1;
            *self = match *self {
                Self::Head(seen) if *byte == BLANK_LINE[seen] && seen + 1 == BLANK_LINE.len() => Self::Opcode,
                Self::Head(seen) if *byte == BLANK_LINE[seen] => Self::Head(seen + 1),
                Self::Head(_) => Self::Head(usize::from(*byte == BLANK_LINE[0])),
                Self::Opcode => {
                    if *byte & 0x0f == PING {
                        *byte = *byte & 0xf0 | PONG;
                    }
                    Self::Length
                }
                Self::Length => match *byte & 0x7f {
                    126 => Self::Extended { left: 2, length: 0 },
                    127 => Self::Extended { left: 8, length: 0 },
                    length => Self::payload(length.into()),
                },
                Self::Extended { left, length } => {
                    let length = length << 8 | u64::from(*byte);
                    if left == 1 { Self::payload(length) } else { Self::Extended { left: left - 1, length } }
                }
                Self::Payload(left) => {
                    taken = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    Self::payload(left - taken as u64)
                }
            };
            rest = &mut rest[taken..];
        }
    }

    fn payload(left: u64) -> Self {
        if left == 0 { Self::Opcode } else { Self::Payload(left) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pings_become_pongs_and_nothing_else_changes_however_the_bytes_are_cut() {
        let long = [&[0x82, 126, 1, 0][..], &[0x89; 256]].concat();
        let before = [b"HTTP/1.1 101 \x89\r\n\r\r\n\r\n", &[0x89, 2, 7, 7][..], &[0x81, 0], &long, &[0x89, 0]].concat();
        let mut after = before.clone();
        let head = before.len() - long.len() - 8;
        after[head] = 0x8a;
        let last = before.len() - 2;
        after[last] = 0x8a;
        for size in [1, 2, 3, 7, before.len()] {
            let (mut deafness, mut bytes) = (Deafness::default(), before.clone());
            bytes.chunks_mut(size).for_each(|piece| deafness.pass(piece));
            assert_eq!(bytes, after, "pieces of {size}");
            assert_eq!(deafness, Deafness::Opcode);
        }
    }
}
