//! Questions to begin with. Each is a question that people come for, and runs over any history.

/// A question and its SQL.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// The question in words.
    pub question: &'static str,
    /// The question in SQL.
    pub sql: &'static str,
}

/// All of them, as README.md shows them.
pub const EXAMPLES: [Example; 5] = [
    Example {
        question: "Which programs used the most CPU in the last day?",
        sql: include_str!("examples/most_cpu.sql"),
    },
    Example {
        question: "Which processes have grown the most in the last day?",
        sql: include_str!("examples/growth.sql"),
    },
    Example { question: "What keeps starting over?", sql: include_str!("examples/restarts.sql") },
    Example {
        question: "Where does a program run, and since when?",
        sql: include_str!("examples/where.sql"),
    },
    Example {
        question: "Which file systems will be full within a month?",
        sql: include_str!("examples/full_disks.sql"),
    },
];
