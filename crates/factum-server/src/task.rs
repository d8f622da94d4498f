//! Work that is done to its end, also when who asked for it is gone.
//!
//! Relies on: a runtime of tokio. Never: bounds what it does; whoever waits may cease to.

/// Does it, and gives what it gives; a panic goes on in whoever waits.
///
/// # Cancel safety
/// It is done to its end also when the future is dropped.
pub(crate) async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panicked) => std::panic::resume_unwind(panicked),
            // It was taken away because the runtime ends, and this is too.
            Err(_) => std::future::pending().await,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::to_the_end;

    #[tokio::test]
    async fn a_panic_is_told_as_one() {
        let told = tokio::spawn(to_the_end(async { panic!("as it was meant") })).await;
        let told = told.map(|()| "nothing").unwrap_err().into_panic();
        assert_eq!(told.downcast_ref(), Some(&"as it was meant"));
    }
}
