//! The contract of factum-store as `factum.v1` writes it: each type of the one as a message of the other, and back.
//!
//! What lives here: conversions, by value and exact both ways; [`error`] for what goes into trailers. Into messages they fail only for what
//! this version cannot write down (the types of the contract may grow), as [`Kind::Internal`]; from
//! messages with [`Kind::Invalid`], naming the field.
//! Relies on: factum-store. Never: checks a limit, fills in what is missing, or looks at a payload.

mod append;
pub mod error;
mod event;
mod read;
mod state;

#[cfg(test)]
mod tests;

use factum_store::{Kind, StoreError};

pub use read::{read_item, subscription_item};

/// A field that has to be there.
fn given<T>(field: Option<T>, what: &str) -> Result<T, StoreError> {
    field.ok_or_else(|| StoreError::invalid(format!("the message has no {what}")))
}

/// What a text is not.
fn unfit(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::invalid(error.to_string()).because(error)
}

/// A value of the contract that came after this version of the protocol.
fn unheard_of(what: &str) -> StoreError {
    let text = format!("this version of the protocol has no word for this {what}");
    StoreError::new(Kind::Internal, text)
}

/// Each of many.
fn each<T, U>(from: Vec<T>) -> Result<Vec<U>, StoreError>
where
    U: TryFrom<T, Error = StoreError>,
{
    from.into_iter().map(U::try_from).collect()
}
