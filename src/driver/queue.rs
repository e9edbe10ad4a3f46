//! What waits for the site: many writers, and whoever has the turn (`turns.rs`) takes everything at once. Bounded.
//!
//! A writer that will step the site itself leaves the sleeper asleep; the others wake it, once. Writers in tasks wait for
//! room without blocking a thread; what the driver itself says (drain, stop) is few by nature and always gets in.

use std::collections::VecDeque;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

/// Why an item was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// No room now.
    Full(T),
    /// The site has stopped.
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

    /// Takes the item if there is room, and wakes the sleeper.
    pub fn offer(&self, item: T) -> Result<(), Refused<T>> {
        self.add(item, true)
    }

    /// Takes the item if there is room; the caller sees to it that it is looked at.
    pub fn offer_quietly(&self, item: T) -> Result<(), Refused<T>> {
        self.add(item, false)
    }

    fn add(&self, item: T, wake: bool) -> Result<(), Refused<T>> {
        let mut state = self.state.lock();
        if state.stopped {
            return Err(Refused::Stopped);
        }
        if state.items.len() >= self.capacity {
            state.crowded = true;
            return Err(Refused::Full(item));
        }
        state.items.push_back(item);
        if wake && state.sleeping {
            self.arrived.notify_one();
        }
        Ok(())
    }

    /// Takes the item even if the queue is full: for the driver itself.
    pub fn insist(&self, item: T) {
        let mut state = self.state.lock();
        if !state.stopped {
            state.items.push_back(item);
            self.arrived.notify_one();
        }
    }

    /// Wakes the sleeper, for what was put in quietly.
    pub fn wake(&self) {
        if self.state.lock().sleeping {
            self.arrived.notify_one();
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

    /// The sleeper's: returns when something waits, when `until` has passed, or (false) when the queue has stopped.
    pub fn wait(&self, until: Instant) -> bool {
        let mut state = self.state.lock();
        while state.items.is_empty() && !state.stopped {
            state.sleeping = true;
            let late = self.arrived.wait_until(&mut state, until).timed_out();
            state.sleeping = false;
            if late {
                break;
            }
        }
        !state.stopped
    }

    /// Moves everything to `into`.
    pub fn drain(&self, into: &mut VecDeque<T>) {
        let mut state = self.state.lock();
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

    /// The last word: what waits is dropped, nothing more is taken.
    pub fn stop(&self) {
        let mut state = self.state.lock();
        state.stopped = true;
        let dropped = std::mem::take(&mut state.items);
        self.arrived.notify_one();
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

    #[test]
    fn a_full_queue_refuses_guests_and_takes_the_house() {
        let queue = Queue::new(2);
        assert_eq!(queue.offer(1), Ok(()));
        assert_eq!(queue.offer_quietly(2), Ok(()));
        assert_eq!(queue.offer(3), Err(Refused::Full(3)));
        queue.insist(4);
        let mut got = VecDeque::new();
        queue.drain(&mut got);
        assert_eq!(got, [1, 2, 4]);
        queue.stop();
        assert_eq!(queue.offer(5), Err(Refused::Stopped));
        assert!(!queue.wait(Instant::now()));
    }

    async fn push(queue: &Queue<(i32, i32)>, item: (i32, i32)) {
        let mut item = item;
        while let Err(refused) = queue.offer(item) {
            let Refused::Full(back) = refused else { panic!("stopped") };
            item = back;
            queue.room().await;
        }
    }

    #[tokio::test]
    async fn writers_wait_for_room_and_nothing_is_lost_or_turned_round() {
        let queue = Arc::new(Queue::new(8));
        let reader = {
            let queue = queue.clone();
            std::thread::spawn(move || {
                let (mut all, mut got) = (Vec::new(), VecDeque::new());
                while all.len() < 4000 {
                    assert!(queue.wait(Instant::now() + Duration::from_secs(20)));
                    queue.drain(&mut got);
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
                    push(&queue, (writer, n)).await;
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
        assert_eq!(queue.offer((9, 9)), Err(Refused::Stopped));
    }
}
