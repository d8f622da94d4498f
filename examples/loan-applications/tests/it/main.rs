//! Loan applications from outside: made-up ones everywhere, the real ones where they are.

#[cfg(test)]
mod logs;
#[cfg(test)]
mod property;
#[cfg(test)]
mod real;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod sample;
