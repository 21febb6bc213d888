//! What the HTTP/2 library does not let one choose: the error code of a stream's reset.
//!
//! The library resets a stream whose body fails with INTERNAL_ERROR. [`Tap`] sits below it and, for as many resets as
//! were announced, writes NO_ERROR instead. It follows the frames of the outgoing bytes (RFC 9113, section 4.1) and
//! touches nothing else.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes of a frame's header. (What precedes the first frame goes the other way.)
const HEADER: usize = 9;
const RST_STREAM: u8 = 3;
const INTERNAL_ERROR: [u8; 4] = [0, 0, 0, 2];

/// How many of a connection's next resets are to be without error.
#[derive(Clone, Debug, Default)]
pub(super) struct Resets(Arc<AtomicUsize>);

impl Resets {
    /// The next reset is to say NO_ERROR.
    pub(super) fn announce(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less is: it was written, or it never will be.
    pub(super) fn withdraw(&self) {
        // None is left where the reset that came first was another's.
        let _ = self.0.try_update(Ordering::Relaxed, Ordering::Relaxed, |awaited| awaited.checked_sub(1));
    }

    fn are_awaited(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

/// Where in its frames the outgoing stream stands.
#[derive(Clone, Debug, Default)]
struct Position {
    header: [u8; HEADER],
    /// Bytes of the header so far.
    known: usize,
    /// Bytes of the payload so far.
    payload: usize,
}

impl Position {
    fn length(&self) -> usize {
        u32::from_be_bytes([0, self.header[0], self.header[1], self.header[2]]) as usize
    }

    /// Passes these bytes; `reset` is told the place and the offset in the code of each byte of a reset's code.
    fn pass(&mut self, bytes: &[u8], mut reset: impl FnMut(usize, usize)) {
        let mut at = 0;
        while at < bytes.len() {
            if self.known < HEADER {
                self.header[self.known] = bytes[at];
                self.known += 1;
                at += 1;
            } else if self.header[3] == RST_STREAM {
                reset(at, self.payload);
                self.payload += 1;
                at += 1;
            } else {
                let step = (self.length() - self.payload).min(bytes.len() - at);
                self.payload += step;
                at += step;
            }
            if self.known == HEADER && self.payload == self.length() {
                (self.known, self.payload) = (0, 0);
            }
        }
    }
}

/// A socket whose outgoing resets can be changed.
#[derive(Debug)]
pub(super) struct Tap<S> {
    socket: S,
    resets: Resets,
    position: Position,
    /// The last byte written belongs to a code that is being changed.
    changing: bool,
}

/// What to write instead of some bytes.
struct Changed {
    bytes: Vec<u8>,
    /// Where a reset that was announced has its code, if one begins here.
    begins: Option<usize>,
    /// The places of bytes that were changed.
    places: Vec<usize>,
}

impl<S> Tap<S> {
    pub(super) fn new(socket: S, resets: Resets) -> Self {
        Self { socket, resets, position: Position::default(), changing: false }
    }

    /// What to write instead, up to the first reset that is changed. The library hands over its frames whole; what the
    /// socket did not take of one comes again.
    fn change(&self, bytes: &[u8]) -> Changed {
        let awaited = self.resets.are_awaited();
        let (mut begins, mut places, mut changing) = (None, Vec::new(), self.changing);
        self.position.clone().pass(bytes, |at, offset| {
            if offset == 0 {
                changing = awaited && begins.is_none() && bytes.get(at..at + 4) == Some(&INTERNAL_ERROR);
                begins = begins.or(changing.then_some(at));
            }
            if changing {
                places.push(at);
            }
        });
        let end = begins.map_or(bytes.len(), |at| at + 4);
        let mut bytes = bytes[..end].to_vec();
        places.iter().for_each(|&place| bytes[place] = 0);
        Changed { bytes, begins, places }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Tap<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let tap = &mut *self;
        let written = if tap.changing || tap.resets.are_awaited() {
            let changed = tap.change(bytes);
            let written = ready!(Pin::new(&mut tap.socket).poll_write(cx, &changed.bytes))?;
            if changed.begins.is_some_and(|at| at < written) {
                tap.resets.withdraw();
            }
            tap.changing = changed.places.iter().any(|place| place + 1 == written);
            written
        } else {
            ready!(Pin::new(&mut tap.socket).poll_write(cx, bytes))?
        };
        tap.position.pass(&bytes[..written], |_, _| {});
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Tap<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![0, 0, payload.len() as u8, kind, 0, 0, 0, 0, 1];
        frame.extend_from_slice(payload);
        frame
    }

    /// What comes out of these writes when so many resets were announced.
    async fn through(announced: usize, writes: &[&[u8]]) -> Vec<u8> {
        let resets = Resets::default();
        (0..announced).for_each(|_| resets.announce());
        let mut tap = Tap::new(Vec::new(), resets);
        for bytes in writes {
            tap.write_all(bytes).await.unwrap();
        }
        tap.socket
    }

    /// Takes no more than this at a time.
    struct Narrow(usize, Vec<u8>);

    impl AsyncWrite for Narrow {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.0);
            self.1.extend_from_slice(&bytes[..taken]);
            Poll::Ready(Ok(taken))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn however_little_the_socket_takes_the_code_is_changed_whole() {
        let (data, reset) = (frame(0, b"data"), frame(RST_STREAM, &INTERNAL_ERROR));
        for width in 1..15 {
            let resets = Resets::default();
            resets.announce();
            let mut tap = Tap::new(Narrow(width, Vec::new()), resets);
            tap.write_all(&[&data[..], &reset, &data, &reset].concat()).await.unwrap();
            let expected = [&data[..], &frame(RST_STREAM, &[0; 4]), &data, &reset].concat();
            assert_eq!(tap.socket.1, expected, "{width} bytes at a time");
        }
    }

    #[test]
    fn a_reset_that_is_withdrawn_is_not_awaited_and_none_is_owed() {
        let resets = Resets::default();
        resets.announce();
        resets.withdraw();
        resets.withdraw();
        assert!(!resets.are_awaited());
        resets.announce();
        assert!(resets.are_awaited());
    }

    #[tokio::test]
    async fn announced_resets_lose_their_error_and_nothing_else_changes() {
        // The data looks like a reset.
        let data = frame(0, &frame(RST_STREAM, &INTERNAL_ERROR));
        let (reset, quiet) = (frame(RST_STREAM, &INTERNAL_ERROR), frame(RST_STREAM, &[0; 4]));
        let all = [&data[..], &reset, &data, &reset, &data].concat();
        assert_eq!(through(0, &[&all]).await, all);
        let one = [&data[..], &quiet, &data, &reset, &data].concat();
        assert_eq!(through(1, &[&all]).await, one);
        assert_eq!(through(2, &[&all]).await, [&data[..], &quiet, &data, &quiet, &data].concat());
        assert_eq!(through(1, &[&all[..30], &all[30..]]).await, one);
        let other = frame(RST_STREAM, &[0, 0, 0, 8]);
        assert_eq!(through(1, &[&other, &reset]).await, [other.clone(), quiet].concat());
    }
}
