//! Printing. `println!` panics when the pipe is closed (`fleetps ps | head`), so programs print answers with
//! [`outln!`](crate::outln) and remarks with [`errln!`](crate::errln).

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

/// Prints to standard output, as `print!` does. When the pipe is closed, the program ends quietly, with success.
#[macro_export]
macro_rules! out {
    ($($text:tt)*) => { $crate::output::answer(format_args!($($text)*)) };
}

/// Prints a line to standard output, as `println!` does. When the pipe is closed, the program ends quietly, with
/// success.
#[macro_export]
macro_rules! outln {
    ($($text:tt)*) => { $crate::output::answer(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints a line to standard error, as `eprintln!` does; when the pipe is closed, the line is lost.
#[macro_export]
macro_rules! errln {
    ($($text:tt)*) => { $crate::output::remark(format_args!($($text)*)) };
}

/// Writes an answer to standard output. Ends the program when it cannot: with success when the pipe is closed, else
/// with a message.
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

/// Writes a server's message to standard output; the server goes on when the pipe is closed.
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

/// Whether standard error may have colours: it is a terminal, and `NO_COLOR` is not set (see <https://no-color.org>).
/// In a journal or a file they would be rubbish.
pub fn may_be_coloured() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && io::stderr().is_terminal()
}
