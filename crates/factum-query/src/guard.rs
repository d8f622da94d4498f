//! What a statement may do, and how long.
//!
//! Relies on: SQLite asking before it compiles an action, and now and then while it runs. Never: allows what is not known to be harmless.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rusqlite::Connection;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;

use crate::error::{Error, Kind};
use crate::run::said;
use crate::{Limits, events};

/// How many steps of SQLite's machine pass between two looks at the clock: far below a millisecond.
const STEPS: i32 = 4_096;
/// Longest value, in bytes: twice the longest event.
const VALUE_BYTES_MAX: i32 = 64 << 20;
/// Pragmas that only tell.
const PRAGMAS: &[&str] = &[
    "table_info",
    "table_xinfo",
    "table_list",
    "index_list",
    "index_info",
    "index_xinfo",
    "function_list",
    "database_list",
    "compile_options",
];

const RUNNING: u8 = 0;
const LATE: u8 = 1;
const STOPPED: u8 = 2;

/// Watches one query.
pub(crate) struct Guard {
    limits: Limits,
    until: Option<Instant>,
    is_stopped: Arc<dyn Fn() -> bool + Send + Sync>,
    why: Arc<AtomicU8>,
    seen: Arc<Mutex<Seen>>,
}

/// What a statement was seen to do.
#[derive(Debug, Default)]
struct Seen {
    refused: Option<String>,
    columns: BTreeSet<String>,
}

impl Guard {
    #[expect(
        clippy::disallowed_methods,
        reason = "a limit of a query outside of the engine; its rows do not depend on it"
    )]
    pub(crate) fn new(limits: Limits, is_stopped: impl Fn() -> bool + Send + 'static) -> Self {
        let is_stopped = Mutex::new(is_stopped);
        Self {
            limits,
            until: Instant::now().checked_add(limits.time),
            is_stopped: Arc::new(move || {
                let asked = is_stopped.lock().unwrap_or_else(PoisonError::into_inner);
                (*asked)()
            }),
            why: Arc::new(AtomicU8::new(RUNNING)),
            seen: Arc::default(),
        }
    }

    /// Watches everything that the connection does from now on.
    pub(crate) fn watch(&self, connection: &Connection) -> Result<(), Error> {
        let set = || {
            connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)?;
            let (why, until, stopped) = (
                Arc::clone(&self.why),
                self.until,
                Arc::clone(&self.is_stopped),
            );
            connection
                .progress_handler(STEPS, Some(move || look(&why, until, &*stopped) != RUNNING))?;
            let seen = Arc::clone(&self.seen);
            connection.authorizer(Some(move |asked: AuthContext<'_>| {
                let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                judge(&asked, &mut seen)
            }))
        };
        set().map_err(|error| said(&error))
    }

    /// Watches nothing any more.
    pub(crate) fn release(&self, connection: &Connection) -> Result<(), Error> {
        let none = None::<fn(AuthContext<'_>) -> Authorization>;
        connection.authorizer(none).map_err(|error| said(&error))
    }

    /// Fails when the time is over, or it was stopped.
    pub(crate) fn check(&self) -> Result<(), Error> {
        look(&self.why, self.until, &*self.is_stopped);
        self.ended().map_or(Ok(()), Err)
    }

    /// Why SQLite gave up, when it was for us.
    pub(crate) fn ended(&self) -> Option<Error> {
        match self.why.load(Ordering::SeqCst) {
            LATE => {
                let what = format!(
                    "the query took longer than the limit of {:?}",
                    self.limits.time
                );
                Some(Error::new(Kind::Limit, what))
            }
            STOPPED => Some(Error::new(Kind::Stopped, "the query was stopped")),
            _ => None,
        }
    }

    /// What the statement was refused for.
    pub(crate) fn refused(&self) -> Option<Error> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let what = seen.refused.as_ref()?;
        Some(Error::new(
            Kind::Refused,
            format!("a query only reads, and this one would {what}"),
        ))
    }

    /// The columns of the table of events that were asked for.
    pub(crate) fn columns(&self) -> BTreeSet<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.columns.clone()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a limit of a query outside of the engine; its rows do not depend on it"
)]
fn look(why: &AtomicU8, until: Option<Instant>, is_stopped: &dyn Fn() -> bool) -> u8 {
    let found = if is_stopped() {
        STOPPED
    } else if until.is_some_and(|until| Instant::now() > until) {
        LATE
    } else {
        return why.load(Ordering::SeqCst);
    };
    why.store(found, Ordering::SeqCst);
    found
}

fn judge(asked: &AuthContext<'_>, seen: &mut Seen) -> Authorization {
    let what = match asked.action {
        AuthAction::Select | AuthAction::Recursive => return Authorization::Allow,
        AuthAction::Function { function_name } => match function_name {
            "load_extension" => "load an extension".to_owned(),
            _ => return Authorization::Allow,
        },
        AuthAction::Read {
            table_name,
            column_name,
        } => {
            if table_name.eq_ignore_ascii_case(events::TABLE) {
                seen.columns.insert(column_name.to_ascii_lowercase());
            }
            return Authorization::Allow;
        }
        AuthAction::Pragma { pragma_name, .. } => {
            if PRAGMAS
                .iter()
                .any(|known| known.eq_ignore_ascii_case(pragma_name))
            {
                return Authorization::Allow;
            }
            format!("set PRAGMA {pragma_name}")
        }
        AuthAction::Insert { table_name } => format!("insert into {table_name}"),
        AuthAction::Update { table_name, .. } => format!("update {table_name}"),
        AuthAction::Delete { table_name } => format!("delete from {table_name}"),
        AuthAction::Attach { .. } => "attach another file".to_owned(),
        other => {
            // `CreateTable { … }` and so on: the name of the action is what there is to say.
            let shown = format!("{other:?}");
            let name = shown.split([' ', '{', '(']).next().unwrap_or_default();
            format!("do something else ({name})")
        }
    };
    seen.refused.get_or_insert(what);
    Authorization::Deny
}
