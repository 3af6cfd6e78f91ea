//! What programs print. `println!` panics where nobody reads any more (`fleetps ps | head`), so no program uses it: what is
//! an answer goes through [`outln!`](crate::outln), what is said beside through [`errln!`](crate::errln).

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

/// Prints to standard output, as `print!` does. Where nobody reads it any more, the program ends, quietly and well.
#[macro_export]
macro_rules! out {
    ($($text:tt)*) => { $crate::output::answer(format_args!($($text)*)) };
}

/// Prints a line to standard output, as `println!` does. Where nobody reads it any more, the program ends, quietly and well.
#[macro_export]
macro_rules! outln {
    ($($text:tt)*) => { $crate::output::answer(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints a line to standard error, as `eprintln!` does; where nobody reads it, it is lost.
#[macro_export]
macro_rules! errln {
    ($($text:tt)*) => { $crate::output::remark(format_args!($($text)*)) };
}

/// Writes an answer to standard output. Ends the program where it cannot: well, where nobody reads it any more, else with a
/// message.
pub fn answer(text: fmt::Arguments<'_>) {
    let mut output = io::stdout().lock();
    match output.write_fmt(text).and_then(|()| output.flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            remark(format_args!("the answer could not be written: {error}"));
            std::process::exit(1);
        }
    }
}

/// Writes what a server says to standard output; it goes on where nobody reads that.
pub fn announce(text: fmt::Arguments<'_>) {
    let mut output = io::stdout().lock();
    let _ = output.write_fmt(text).and_then(|()| output.flush());
}

/// Writes a line to standard error.
pub fn remark(text: fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// How a program ends; where it failed, it says why.
pub fn end(program: &str, failure: Option<String>) -> ExitCode {
    let Some(failure) = failure else { return ExitCode::SUCCESS };
    remark(format_args!("{program}: {failure}"));
    ExitCode::FAILURE
}

/// Whether what goes to standard error may have colours: a person looks at it, and has not asked for none (`NO_COLOR`,
/// see <https://no-color.org>). In a journal or a file they would be rubbish.
pub fn may_be_coloured() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && io::stderr().is_terminal()
}
