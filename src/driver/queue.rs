//! The site thread's input queue: many writers, one reader, bounded.
//!
//! A writer wakes the reader only when it sleeps, and the reader takes everything at once: under load a commit costs
//! no wake at all, and a lonely one costs one. Writers in tasks wait for room without blocking a thread; what the
//! driver's own threads say (a sync is done, time has passed) is few by nature and always gets in, or a full queue
//! could hold back the very thing that empties it.

use std::collections::VecDeque;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

/// The reader is gone: the site has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the site has stopped")]
pub struct Stopped;

/// Why an item was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// No room now.
    Full(T),
    /// The reader is gone.
    Stopped,
}

/// See the module.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    arrived: Condvar,
    room: Notify,
    capacity: usize,
}

struct State<T> {
    items: VecDeque<T>,
    sleeping: bool,
    /// Writers that wait for room.
    crowded: bool,
    stopped: bool,
}

impl<T> Queue<T> {
    /// A queue of at most `capacity` items.
    pub fn new(capacity: usize) -> Queue<T> {
        let state = State { items: VecDeque::new(), sleeping: false, crowded: false, stopped: false };
        Queue { state: Mutex::new(state), arrived: Condvar::new(), room: Notify::new(), capacity }
    }

    /// Takes the item if there is room.
    pub fn offer(&self, item: T) -> Result<(), Refused<T>> {
        let mut state = self.state.lock();
        if state.stopped {
            return Err(Refused::Stopped);
        }
        if state.items.len() >= self.capacity {
            state.crowded = true;
            return Err(Refused::Full(item));
        }
        state.items.push_back(item);
        self.wake(state.sleeping);
        Ok(())
    }

    /// Takes the item even if the queue is full: for the driver's own threads.
    pub fn insist(&self, item: T) {
        let mut state = self.state.lock();
        if !state.stopped {
            state.items.push_back(item);
            self.wake(state.sleeping);
        }
    }

    /// Waits for room.
    pub async fn push(&self, item: T) -> Result<(), Stopped> {
        let mut item = item;
        loop {
            match self.offer(item) {
                Ok(()) => return Ok(()),
                Err(Refused::Stopped) => return Err(Stopped),
                Err(Refused::Full(back)) => item = back,
            }
            self.room().await;
        }
    }

    /// Resolves when there may be room.
    pub async fn room(&self) {
        let notified = self.room.notified();
        tokio::pin!(notified);
        // Registered before the look, so that room made in between is not missed.
        notified.as_mut().enable();
        let full = {
            let mut state = self.state.lock();
            let full = !state.stopped && state.items.len() >= self.capacity;
            state.crowded |= full;
            full
        };
        if full {
            notified.await;
        }
    }

    fn wake(&self, sleeping: bool) {
        if sleeping {
            self.arrived.notify_one();
        }
    }

    /// The reader's: moves everything to `into`, waiting until there is something or `until` has passed.
    pub fn drain(&self, into: &mut VecDeque<T>, until: Instant) {
        let mut state = self.state.lock();
        while state.items.is_empty() {
            state.sleeping = true;
            let late = self.arrived.wait_until(&mut state, until).timed_out();
            state.sleeping = false;
            if late {
                break;
            }
        }
        if into.is_empty() {
            std::mem::swap(into, &mut state.items);
        } else {
            into.append(&mut state.items);
        }
        if std::mem::take(&mut state.crowded) {
            drop(state);
            self.room.notify_waiters();
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.state.lock().items.is_empty()
    }

    /// The reader's last word: what waits is dropped, nothing more is taken.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        let dropped = std::mem::take(&mut state.items);
        drop(state);
        drop(dropped);
        self.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(10)
    }

    #[test]
    fn a_full_queue_refuses_guests_and_takes_the_house() {
        let queue = Queue::new(2);
        assert_eq!(queue.offer(1), Ok(()));
        assert_eq!(queue.offer(2), Ok(()));
        assert_eq!(queue.offer(3), Err(Refused::Full(3)));
        queue.insist(4);
        let mut got = VecDeque::new();
        queue.drain(&mut got, soon());
        assert_eq!(got, [1, 2, 4]);
        queue.stop();
        assert_eq!(queue.offer(5), Err(Refused::Stopped));
    }

    #[tokio::test]
    async fn writers_wait_for_room_and_nothing_is_lost_or_turned_round() {
        let queue = Arc::new(Queue::new(8));
        let reader = {
            let queue = queue.clone();
            std::thread::spawn(move || {
                let (mut all, mut got) = (Vec::new(), VecDeque::new());
                while all.len() < 4000 {
                    queue.drain(&mut got, Instant::now() + Duration::from_secs(20));
                    all.extend(got.drain(..));
                }
                queue.stop();
                all
            })
        };
        let mut writers = Vec::new();
        for writer in 0..4 {
            let queue = queue.clone();
            writers.push(tokio::spawn(async move {
                for n in 0..1000 {
                    queue.push((writer, n)).await.unwrap();
                }
            }));
        }
        for writer in writers {
            writer.await.unwrap();
        }
        let all = reader.join().unwrap();
        for writer in 0..4 {
            let of: Vec<i32> = all.iter().filter(|(w, _)| *w == writer).map(|(_, n)| *n).collect();
            assert_eq!(of, (0..1000).collect::<Vec<_>>());
        }
        assert_eq!(queue.push((9, 9)).await, Err(Stopped));
    }
}
