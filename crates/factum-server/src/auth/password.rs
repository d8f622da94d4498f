//! Passwords: hashed with PBKDF2-HMAC-SHA256 (RFC 8018), away from the threads that serve, a few at once.
//!
//! Relies on: ring; random bytes that are handed in. Never: lets more wait than the limit; does less work for a user that does
//! not exist.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use factum_io::Random;
use ring::pbkdf2;
use tokio::sync::Semaphore;

use super::limits::{HASHES_AT_ONCE, HASHES_PENDING_MAX};

const HASH_BYTES: usize = 32;
const SALT_BYTES: usize = 16;

/// Too many passwords are being hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Busy;

/// What is kept of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PasswordHash {
    pub(super) hash: Vec<u8>,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: NonZeroU32,
}

/// Hashes passwords.
#[derive(Debug)]
pub(super) struct Passwords {
    random: Arc<dyn Random>,
    iterations: NonZeroU32,
    pending: Arc<Semaphore>,
    running: Arc<Semaphore>,
    hashed: AtomicU64,
}

impl Passwords {
    /// New passwords are hashed in so many rounds.
    pub(super) fn new(random: Arc<dyn Random>, iterations: NonZeroU32) -> Self {
        Self {
            random,
            iterations,
            pending: Arc::new(Semaphore::new(HASHES_PENDING_MAX)),
            running: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
            hashed: AtomicU64::new(0),
        }
    }

    #[cfg(test)]
    /// How many hashes were computed.
    pub(super) fn hashed(&self) -> u64 {
        self.hashed.load(Ordering::Relaxed)
    }

    /// The hash of a new password, with a salt of its own.
    pub(super) async fn hash(&self, password: &str) -> Result<PasswordHash, Busy> {
        let mut salt = vec![0; SALT_BYTES];
        self.random.fill(&mut salt);
        let (iterations, password) = (self.iterations, password.to_owned());
        self.run(move || {
            let mut hash = vec![0; HASH_BYTES];
            let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
            pbkdf2::derive(algorithm, iterations, &salt, password.as_bytes(), &mut hash);
            PasswordHash {
                hash,
                salt,
                iterations,
            }
        })
        .await
    }

    /// Whether the password is the one that was hashed. Without a hash it is not, and that takes as long.
    pub(super) async fn verify(
        &self,
        password: &str,
        hash: Option<PasswordHash>,
    ) -> Result<bool, Busy> {
        let known = hash.is_some();
        let hash = hash.unwrap_or_else(|| PasswordHash {
            hash: vec![0; HASH_BYTES],
            salt: vec![0; SALT_BYTES],
            iterations: self.iterations,
        });
        let password = password.to_owned();
        self.run(move || {
            let (algorithm, password) = (pbkdf2::PBKDF2_HMAC_SHA256, password.as_bytes());
            let same = pbkdf2::verify(algorithm, hash.iterations, &hash.salt, password, &hash.hash);
            same.is_ok() && known
        })
        .await
    }

    /// Lets no hash begin until what is returned is dropped.
    #[cfg(test)]
    pub(super) async fn hold(&self) -> tokio::sync::OwnedSemaphorePermit {
        let all = u32::try_from(HASHES_AT_ONCE).unwrap();
        let running = Arc::clone(&self.running);
        running.acquire_many_owned(all).await.unwrap()
    }

    /// Runs one hash on a thread for work that takes long. The permits go with it: whoever stops waiting does not make room.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let pending = Arc::clone(&self.pending).try_acquire_owned();
        let pending = pending.map_err(|_full| Busy)?;
        let running = Arc::clone(&self.running).acquire_owned().await;
        let running = running.map_err(|_closed| Busy)?;
        self.hashed.fetch_add(1, Ordering::Relaxed);
        let task = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((running, pending));
            done
        });
        // A task ends without an answer only when the runtime is shut down.
        task.await.map_err(|_stopped| Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use factum_io::sim::SimEnv;
    use futures_util::future::join_all;

    fn passwords() -> Passwords {
        let rounds = NonZeroU32::new(3).unwrap();
        Passwords::new(SimEnv::new(1).env().random, rounds)
    }

    #[tokio::test]
    async fn only_the_same_password_is_right() {
        let passwords = passwords();
        let hash = passwords.hash("secret").await.unwrap();
        for (given, expected) in [("secret", true), ("Secret", false), ("", false)] {
            let found = passwords.verify(given, Some(hash.clone())).await;
            assert_eq!(found, Ok(expected), "{given}");
        }
        let again = passwords.hash("secret").await.unwrap();
        assert_ne!((&again.salt, &again.hash), (&hash.salt, &hash.hash));
    }

    #[tokio::test]
    async fn without_a_hash_no_password_is_right_and_the_work_is_done() {
        let passwords = passwords();
        assert_eq!(passwords.verify("x", None).await, Ok(false));
        assert_eq!(passwords.hashed(), 1);
    }

    #[test]
    fn a_known_hash_is_computed() {
        // RFC 7914, section 11: PBKDF2-HMAC-SHA-256 of "passwd" with salt "salt", one round.
        let hash = PasswordHash {
            hash: vec![
                0x55, 0xac, 0x04, 0x6e, 0x56, 0xe3, 0x08, 0x9f, 0xec, 0x16, 0x91, 0xc2, 0x25, 0x44,
                0xb6, 0x05, 0xf9, 0x41, 0x85, 0x21, 0x6d, 0xde, 0x04, 0x65, 0xe6, 0x8b, 0x9d, 0x57,
                0xc2, 0x0d, 0xac, 0xbc,
            ],
            salt: b"salt".to_vec(),
            iterations: NonZeroU32::MIN,
        };
        let runtime = tokio::runtime::Builder::new_current_thread();
        let right = { runtime }
            .build()
            .unwrap()
            .block_on(passwords().verify("passwd", Some(hash)));
        assert_eq!(right, Ok(true));
    }

    #[tokio::test]
    async fn one_more_than_may_wait_is_refused() {
        let passwords = passwords();
        let held = passwords.hold().await;
        let all = join_all((0..=HASHES_PENDING_MAX).map(|_| passwords.verify("x", None)));
        // All are asked, in order, before the first can begin.
        let release = async {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            drop(held);
        };
        let (all, ()) = tokio::join!(all, release);
        let refused = all.iter().filter(|answer| **answer == Err(Busy)).count();
        assert_eq!(refused, 1);
        assert_eq!(passwords.verify("x", None).await, Ok(false), "room again");
    }
}
