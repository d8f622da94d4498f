//! `factum help exit-codes`.

use std::io::Write as _;

use crate::context::Context;
use crate::exit::MEANINGS;
use crate::failure::Outcome;

/// The text of the topic.
pub(crate) fn text() -> String {
    let mut text = String::from("What the exit codes mean:\n");
    for (code, meaning) in MEANINGS {
        text.push_str(&format!("\n  {code:>3}  {meaning}"));
    }
    text.push_str("\n\nA reader that closes the pipe early (`factum read --all | head`) is no error: the code is 0.");
    text
}

/// Prints it.
pub(crate) fn run(context: &mut Context) -> Outcome {
    writeln!(context.ui.out(), "{}", text())?;
    Ok(())
}
