//! Locks that outlive a panic, and locks that keep an order.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The guard of `mutex`, also where a holder panicked: std's poisoning would turn one failed call
/// into all later ones. What our mutexes guard is changed in single steps (a map's entry, a counter)
/// and so is valid after any of them; where it is not, as in the log, its owner has a poisoned state
/// of its own.
pub fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn read<T: ?Sized>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

pub fn write<T: ?Sized>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// A mutex with a place in an order: of those that one thread holds at once, each was locked after the ones with a
/// lower `PLACE`. Where all threads keep to that, no two wait for each other. Builds with assertions, so all tests,
/// assert it.
#[derive(Debug, Default)]
pub struct OrderedMutex<const PLACE: u8, T>(Mutex<T>);

impl<const PLACE: u8, T> OrderedMutex<PLACE, T> {
    /// One that guards `value`.
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// As [`lock`].
    ///
    /// # Panics
    ///
    /// In builds with assertions, where the thread holds one that it is locked before.
    pub fn lock(&self) -> OrderedGuard<'_, PLACE, T> {
        #[cfg(debug_assertions)]
        HELD_PLACES.with_borrow_mut(|held| {
            let is_last = held.iter().all(|place| *place < PLACE);
            assert!(is_last, "the mutex with place {PLACE} is locked behind those with {held:?}");
            held.push(PLACE);
        });
        OrderedGuard(lock(&self.0))
    }
}

#[cfg(debug_assertions)]
thread_local! {
    static HELD_PLACES: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// What an [`OrderedMutex`] guards, for the one thread that has locked it.
#[derive(Debug)]
pub struct OrderedGuard<'a, const PLACE: u8, T>(MutexGuard<'a, T>);

impl<const PLACE: u8, T> Deref for OrderedGuard<'_, PLACE, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<const PLACE: u8, T> DerefMut for OrderedGuard<'_, PLACE, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

#[cfg(debug_assertions)]
impl<const PLACE: u8, T> Drop for OrderedGuard<'_, PLACE, T> {
    fn drop(&mut self) {
        HELD_PLACES.with_borrow_mut(|held| held.retain(|place| *place != PLACE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mutexes_are_locked_in_their_order_alone() {
        let (first, second) = (OrderedMutex::<1, _>::new(1), OrderedMutex::<2, _>::new(2));
        let held = (first.lock(), second.lock());
        assert_eq!((*held.0, *held.1), (1, 2));
        drop(held);
        drop((second.lock(), ()));
        *first.lock() += 1;
        assert_eq!(*first.lock(), 2, "nothing is held");
        for is_same in [true, false] {
            let locked = std::thread::scope(|scope| {
                let wrong = scope.spawn(|| {
                    let _held = second.lock();
                    if is_same { *second.lock() } else { *first.lock() }
                });
                wrong.join()
            });
            assert!(locked.is_err(), "{is_same}");
        }
    }
}
