//! What waits to be written to one peer: frames in order, bounded in bytes, emptied by the link's writer in batches.
//!
//! Nothing is queued for a peer whose link is down: the causal layer sends again from what the peer says it has, so a
//! frame kept here could only be old. A queue that is full ends the link for the same reason: it is cheaper to
//! resume than to hold.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::SendError;
use super::frame::{HEADER_LEN, Kind, put_header};
use super::inbox::LinkId;

/// Bodies up to this size are copied together; longer ones are handed on as they are.
const COPY_BELOW: usize = 4 * 1024;
/// A batch is not built longer than this, so that the first byte goes out early.
const BATCH: usize = 256 * 1024;

pub(super) struct Outbox {
    state: Mutex<State>,
    filled: Notify,
    overflow: Notify,
    limit: usize,
}

/// Whole frames, ready to be written.
pub(super) struct Batch {
    pub chunks: Vec<Bytes>,
    pub frames: u64,
    pub size: usize,
}

#[derive(Default)]
struct State {
    link: Option<LinkId>,
    frames: VecDeque<Bytes>,
    /// Of the frames queued and of the batch being written.
    bytes: usize,
    overflowed: bool,
}

impl Outbox {
    pub fn new(limit: usize) -> Outbox {
        Outbox { state: Mutex::default(), filled: Notify::new(), overflow: Notify::new(), limit }
    }

    pub fn open(&self, link: LinkId) {
        *self.state.lock() = State { link: Some(link), ..State::default() };
    }

    pub fn close(&self) {
        *self.state.lock() = State::default();
    }

    pub fn queued(&self) -> usize {
        self.state.lock().bytes
    }

    /// Queues a frame; never waits.
    pub fn push(&self, link: LinkId, frame: Bytes) -> Result<(), SendError> {
        let mut state = self.state.lock();
        if state.link != Some(link) || state.overflowed {
            return Err(SendError::Down);
        }
        let size = frame.len() + HEADER_LEN;
        let first = state.frames.is_empty();
        // A single frame always fits: the limit is on what waits behind it.
        let fits = state.bytes == 0 || state.bytes + size <= self.limit;
        if fits {
            state.bytes += size;
            state.frames.push_back(frame);
        } else {
            state.overflowed = true;
        }
        let queued = state.bytes;
        drop(state);
        if first || !fits {
            self.filled.notify_one();
        }
        if !fits {
            self.overflow.notify_one();
        }
        if fits { Ok(()) } else { Err(SendError::Backlogged { queued }) }
    }

    /// The next batch of whole frames, as few long chunks as possible; `None` once the queue has overflowed.
    pub async fn batch(&self) -> Option<Batch> {
        loop {
            {
                let mut state = self.state.lock();
                if state.overflowed {
                    return None;
                }
                if !state.frames.is_empty() {
                    return Some(collect(&mut state.frames));
                }
            }
            self.filled.notified().await;
        }
    }

    /// Resolves when the queue overflows, also while a batch is being written.
    pub async fn overflowed(&self) {
        while !self.state.lock().overflowed {
            self.overflow.notified().await;
        }
    }

    /// The batch is with QUIC: its room is free again.
    pub fn written(&self, size: usize) {
        let mut state = self.state.lock();
        state.bytes = state.bytes.saturating_sub(size);
    }
}

fn collect(queue: &mut VecDeque<Bytes>) -> Batch {
    let (mut chunks, mut joined, mut frames, mut size) = (Vec::new(), BytesMut::new(), 0, 0);
    while size < BATCH
        && let Some(frame) = queue.pop_front()
    {
        frames += 1;
        size += frame.len() + HEADER_LEN;
        put_header(&mut joined, Kind::Data, frame.len());
        if frame.len() <= COPY_BELOW {
            joined.put_slice(&frame);
        } else {
            chunks.push(joined.split().freeze());
            chunks.push(frame);
        }
    }
    if !joined.is_empty() {
        chunks.push(joined.freeze());
    }
    Batch { chunks, frames, size }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_leave_in_order_with_their_headers() {
        let outbox = Outbox::new(1 << 20);
        outbox.open(LinkId(1));
        outbox.push(LinkId(1), Bytes::from_static(b"a")).unwrap();
        outbox.push(LinkId(1), Bytes::from(vec![b'x'; COPY_BELOW + 1])).unwrap();
        outbox.push(LinkId(1), Bytes::from_static(b"b")).unwrap();
        let Batch { chunks, frames, size } = collect(&mut outbox.state.lock().frames);
        assert_eq!((chunks.len(), frames), (3, 3));
        assert_eq!(size, chunks.iter().map(Bytes::len).sum::<usize>());
        assert_eq!(chunks[0].as_ref(), b"\x01\x01\0\0\0a\x01\x01\x10\0\0");
        assert_eq!(chunks[2].as_ref(), b"\x01\x01\0\0\0b");
    }

    #[test]
    fn a_full_queue_ends_the_link_and_a_stale_link_sends_nothing() {
        let outbox = Outbox::new(20);
        assert_eq!(outbox.push(LinkId(1), Bytes::new()), Err(SendError::Down));
        outbox.open(LinkId(2));
        assert_eq!(outbox.push(LinkId(1), Bytes::new()), Err(SendError::Down));
        outbox.push(LinkId(2), Bytes::from_static(b"0123456789")).unwrap();
        let refused = outbox.push(LinkId(2), Bytes::from_static(b"0123456789"));
        assert_eq!(refused, Err(SendError::Backlogged { queued: 15 }));
        assert_eq!(outbox.push(LinkId(2), Bytes::new()), Err(SendError::Down));
    }
}
