//! Equal programs, kept once for the whole fleet.

use std::{collections::HashSet, sync::Arc};

use super::EventProgram;

/// How many more programs than after the last cleaning there are before unused ones are dropped.
const CLEAN_AFTER: usize = 10_000;

/// The programs that run somewhere. Most run on every host, so that a process takes some 50 bytes of memory.
#[derive(Debug, Default)]
pub(super) struct Interner {
    programs: HashSet<Arc<EventProgram>>,
    clean_at: usize,
}

impl Interner {
    /// The one program that is equal to this.
    pub(super) fn intern(&mut self, program: EventProgram) -> Arc<EventProgram> {
        if let Some(known) = self.programs.get(&program) {
            return Arc::clone(known);
        }
        if self.programs.len() >= self.clean_at {
            self.programs.retain(|program| Arc::strong_count(program) > 1);
            self.clean_at = self.programs.len() + CLEAN_AFTER;
        }
        let program = Arc::new(program);
        self.programs.insert(Arc::clone(&program));
        program
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_nobody_uses_are_dropped() {
        let mut interner = Interner::default();
        let program = |number: usize| EventProgram { name: number.to_string(), ..EventProgram::default() };
        let kept = interner.intern(program(0));
        (1..3 * CLEAN_AFTER).for_each(|number| drop(interner.intern(program(number))));
        assert!(interner.programs.len() <= CLEAN_AFTER + 1);
        assert!(Arc::ptr_eq(&kept, &interner.intern(program(0))));
    }
}
