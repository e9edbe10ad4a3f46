//! Simulated time for clients: sleeping until a moment that the world reaches.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// The world's clock as clients see it. Clones show the same time.
#[derive(Clone, Debug, Default)]
pub struct Time(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    now: u64,
    count: u64,
    sleepers: BTreeMap<(u64, u64), Waker>,
}

impl Time {
    /// Microseconds since 1970.
    pub fn now(&self) -> u64 {
        self.0.lock().now
    }

    /// Moves on, waking whoever slept until then.
    pub fn advance(&self, now: u64) {
        let mut due = Vec::new();
        {
            let mut inner = self.0.lock();
            assert!(now >= inner.now, "time does not go back");
            inner.now = now;
            while inner.sleepers.first_key_value().is_some_and(|((at, _), _)| *at <= now) {
                due.extend(inner.sleepers.pop_first().map(|(_, waker)| waker));
            }
        }
        due.into_iter().for_each(Waker::wake);
    }

    /// When the next sleeper wakes.
    pub fn next(&self) -> Option<u64> {
        self.0.lock().sleepers.first_key_value().map(|((at, _), _)| *at)
    }

    /// Sleeps so many microseconds.
    pub fn sleep(&self, micros: u64) -> Sleep {
        Sleep { time: self.clone(), until: self.now() + micros, id: None }
    }
}

/// See [`Time::sleep`].
#[derive(Debug)]
pub struct Sleep {
    time: Time,
    until: u64,
    id: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let time = self.time.clone();
        let mut inner = time.0.lock();
        if inner.now >= self.until {
            return Poll::Ready(());
        }
        let id = *self.id.get_or_insert_with(|| {
            inner.count += 1;
            inner.count
        });
        inner.sleepers.insert((self.until, id), context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.time.0.lock().sleepers.remove(&(self.until, id));
        }
    }
}
