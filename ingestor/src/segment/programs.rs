//! What the processes of a segment are, kept once in memory until it is sealed: on most hosts of a fleet the same programs run.

use std::collections::HashMap;

use fleetps_nats::{
    model::{Value, process::PROCESS},
    snapshot::Process,
};

use super::strings::Strings;
use crate::fields::{OWN_FACTS, program_facts_with_places};

/// What a process is at a moment: a program, and what it has for itself. Texts are numbers of [`Strings`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Facts {
    /// A number of [`Programs`].
    pub(super) program: u32,
    pub(super) own: [Option<u32>; OWN_FACTS.len()],
}

/// Programs and their numbers, from 0 in the order in which they were seen first.
#[derive(Debug, Default)]
pub(super) struct Programs {
    numbers: HashMap<String, u32>,
    /// With nothing but the facts of a program.
    programs: Vec<Process>,
    text_bytes: usize,
}

impl Programs {
    /// What a process is; what is new of it is kept here and in `strings`.
    pub(super) fn facts(&mut self, process: &Process, strings: &mut Strings) -> Facts {
        let own = OWN_FACTS.map(|place| match process.value(place) {
            Value::Text(text) => Some(strings.number(text)),
            value => value.integer().and_then(|number| u32::try_from(number).ok()),
        });
        Facts { program: self.number(process), own }
    }

    /// Whether a process is what `facts` say. Faster than [`Programs::facts`].
    pub(super) fn are(&self, facts: Facts, process: &Process, strings: &Strings) -> bool {
        let has_own = OWN_FACTS.iter().zip(facts.own).all(|(place, own)| match process.value(*place) {
            Value::Text(text) => own.is_some_and(|own| strings.text(own) == text),
            value => value.integer().and_then(|number| u32::try_from(number).ok()) == own,
        });
        let program = self.programs.get(facts.program as usize);
        has_own
            && program.is_some_and(|program| {
                program_facts_with_places().all(|(place, _)| program.value(place) == process.value(place))
            })
    }

    fn number(&mut self, process: &Process) -> u32 {
        let key = key(process);
        if let Some(number) = self.numbers.get(&key) {
            return *number;
        }
        // At most one for each row of a segment, so far fewer than 2^32.
        let number = u32::try_from(self.programs.len()).unwrap_or(u32::MAX);
        // Kept as the key, and once more as a program.
        self.text_bytes += 2 * key.len();
        let mut program = Process::default();
        program_facts_with_places().for_each(|(place, _)| program.set(place, process.value(place)));
        self.numbers.insert(key, number);
        self.programs.push(program);
        number
    }

    /// What `facts` say of the field at `place`.
    pub(super) fn value<'a>(&'a self, facts: Facts, place: usize, strings: &'a Strings) -> Value<'a> {
        match OWN_FACTS.iter().zip(facts.own).find(|(own, _)| **own == place) {
            Some((_, None)) => Value::Absent,
            Some((_, Some(number))) if PROCESS[place].sql_type == "VARCHAR" => {
                Value::Text(strings.text(number))
            }
            Some((_, Some(number))) => Value::Integer(number.into()),
            None => self
                .programs
                .get(facts.program as usize)
                .map_or(Value::Absent, |program| program.value(place)),
        }
    }

    /// The place of each program in the order of names and command lines, by its number.
    pub(super) fn places(&self) -> Vec<u32> {
        let text = |process: &'_ Process| (process.name.clone(), process.command_line.clone());
        let mut numbers: Vec<usize> = (0..self.programs.len()).collect();
        numbers.sort_by_cached_key(|number| self.programs.get(*number).map(text));
        let mut places = vec![0; numbers.len()];
        for (place, number) in (0..).zip(&numbers) {
            places[*number] = place;
        }
        places
    }

    /// The memory that their texts take.
    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }
}

/// A text that only processes of one program have in common.
fn key(process: &Process) -> String {
    let mut key = String::new();
    for (place, _) in program_facts_with_places() {
        match process.value(place) {
            Value::Text(text) => {
                // With its length, because any character may be in it.
                key += &text.len().to_string();
                key.push(':');
                key += text;
            }
            value => {
                key += &value.integer().map(|number| number.to_string()).unwrap_or_default();
                key.push(';');
            }
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use fleetps_nats::model::{Field, process::PROCESS};

    use super::*;

    fn process(name: &str, command_line: Option<&str>) -> Process {
        let command_line = command_line.map(str::to_owned);
        Process { name: name.to_owned(), command_line, ..Process::default() }
    }

    #[test]
    fn every_fact_of_a_process_tells_it_from_others() {
        let (mut programs, mut strings) = (Programs::default(), Strings::default());
        let known = programs.facts(&Process::default(), &mut strings);
        for (place, field) in PROCESS.iter().enumerate().filter(|(_, field)| is_fact(field)) {
            let mut other = Process::default();
            let value = if field.sql_type == "VARCHAR" { Value::Text("x") } else { Value::Integer(1) };
            other.set(place, value);
            assert!(!programs.are(known, &other, &strings), "{}", field.name);
            let facts = programs.facts(&other, &mut strings);
            assert_ne!(facts, known, "{}", field.name);
            assert!(programs.are(facts, &other, &strings), "{}", field.name);
            assert_eq!(programs.facts(&other, &mut strings), facts, "{}", field.name);
        }
    }

    fn is_fact(field: &Field) -> bool {
        crate::fields::facts().any(|fact| fact.name == field.name)
    }

    #[test]
    fn texts_that_only_look_alike_when_joined_are_other_programs() {
        let mut programs = Programs::default();
        let all = [
            process("a", Some("b")),
            process("ab", Some("")),
            process("ab", None),
            process("a1:b", None),
            process("", Some("ab")),
        ];
        let numbers: Vec<u32> = all.iter().map(|process| programs.number(process)).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
        assert_eq!(programs.number(&all[2]), 2);
        assert_eq!(programs.places(), [1, 4, 3, 2, 0]);
    }
}
