//! Reading back, for a rebuild: there is nothing to be compared.
//!
//! Relies on: nothing. Never: names a table, for points have none; a rebuild folds the events once more and compares no row.

use factum_projection::{Error, ReadBack, Row, Table};
use futures_core::future::BoxFuture;

use crate::InfluxSink;

impl ReadBack for InfluxSink {
    fn tables(&self) -> &[Table] {
        &[]
    }

    fn count<'a>(
        &'a mut self,
        _: &'a str,
        _: u32,
        table: &'a str,
    ) -> BoxFuture<'a, Result<u64, Error>> {
        Box::pin(std::future::ready(Err(no_table(table))))
    }

    fn page<'a>(
        &'a mut self,
        _: &'a str,
        _: u32,
        table: &'a str,
        _: Option<&'a Row>,
        _: usize,
    ) -> BoxFuture<'a, Result<Vec<Row>, Error>> {
        Box::pin(std::future::ready(Err(no_table(table))))
    }
}

fn no_table(table: &str) -> Error {
    Error::invalid(format!("there is no table {table}: InfluxDB holds points"))
}
