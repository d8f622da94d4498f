//! Chance for tests: from a seed, so that what failed can be seen again.
//!
//! Relies on: factum-io's simulated randomness. Never: draws from the operating system, but for a seed.

use factum_io::Random;
use factum_io::sim::SimRandom;

/// What a generator of commands draws from. The same seed gives the same draws.
///
/// ```
/// use factum_framework::kit::Chance;
///
/// let mut chance = Chance::new(7);
/// assert!(chance.below(10) < 10);
/// assert!(["red", "green"].contains(chance.one_of(&["red", "green"])));
/// let again = Chance::new(7).below(1_000);
/// assert_eq!(again, Chance::new(7).below(1_000));
/// ```
#[derive(Debug)]
pub struct Chance {
    seed: u64,
    random: SimRandom,
}

impl Chance {
    /// The chance of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            random: SimRandom::new(seed),
        }
    }

    /// The seed it was made with.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.random.next_u64()
    }

    /// A number from 0 to one less than this; 0 when there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number().checked_rem(end).unwrap_or(0)
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    ///
    /// # Panics
    /// There is none.
    pub fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let index = usize::try_from(self.below(choices.len() as u64)).unwrap_or(0);
        choices
            .get(index)
            .expect("there is something to choose from")
    }

    /// A short word; often one that was drawn before.
    pub fn word(&mut self) -> String {
        let first = *self.one_of(&["ann", "bob", "eve", "kim", "ole", "zoe"]);
        format!("{first}{}", self.below(3))
    }
}

/// A seed that is another one in every run, for tests that print it.
#[must_use]
pub fn random_seed() -> u64 {
    factum_io::Env::real().random.next_u64()
}

/// Says on the way out of a test that fails how to see it again.
pub(super) struct Told {
    pub(super) what: &'static str,
    pub(super) seed: u64,
    /// What to write, to see it again.
    pub(super) again: String,
}

impl Told {
    /// For what is given its seed by [`Commands::seed`](super::Commands::seed).
    pub(super) fn of_commands(what: &'static str, seed: u64) -> Self {
        let again = format!(".seed({seed})");
        Self { what, seed, again }
    }

    pub(super) fn text(&self) -> String {
        let Self { what, seed, again } = self;
        format!("{what} failed with seed {seed}: see it again with {again}")
    }
}

impl Drop for Told {
    #[expect(
        clippy::print_stderr,
        reason = "a failing test is told its seed, whatever it panics with"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.text());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Told;

    #[test]
    fn a_failure_tells_how_to_see_it_again() {
        assert_eq!(
            Told::of_commands("commands at random", 7).text(),
            "commands at random failed with seed 7: see it again with .seed(7)"
        );
    }
}
