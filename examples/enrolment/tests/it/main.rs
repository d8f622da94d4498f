//! Enrolment from outside.

#[cfg(test)]
mod enrolment;
