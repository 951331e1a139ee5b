//! `time.now_ns()`: the host's clock, the same in all of one evaluation.

use super::super::value::from_text;
use super::CLOCK;
use super::segment::Segment;
use crate::time::Timestamp;
use regorus::Value;
use regorus::rvm::program::Program;
use regorus::rvm::{Instruction, RegoVM};

/// How often a program can ask for the time.
///
/// The machine wants the answers beforehand, and takes a missing one for undefined. So there is one for each call in a
/// rule (a rule runs once), and where a call is in a loop or function, as many as the instruction budget lets run.
#[derive(Debug)]
pub(crate) struct Clock {
    name: Value,
    calls: Calls,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Calls {
    AtMost(usize),
    Unbounded,
}

/// Instructions that one call takes, at least: the arguments, their check, the name, the call.
const INSTRUCTIONS_PER_CALL: usize = 4;

impl Clock {
    pub(super) fn for_program(program: &Program, segments: &[Segment]) -> Self {
        let mut calls = Calls::AtMost(0);
        for segment in segments {
            for pc in segment.pcs.clone() {
                if matches!(program.instructions.get(pc), Some(Instruction::HostAwait { .. })) {
                    calls = calls.and(segment.function || !segment.nest(pc).is_empty());
                }
            }
        }
        Self { name: from_text(CLOCK), calls }
    }

    /// Gives the machine its answers for one evaluation.
    pub(crate) fn set(&self, machine: &mut RegoVM, now: Timestamp, max_instructions: usize) {
        let answers = match self.calls {
            Calls::AtMost(0) => return,
            Calls::AtMost(calls) => calls,
            Calls::Unbounded => (max_instructions / INSTRUCTIONS_PER_CALL).saturating_add(1),
        };
        let time = Value::from(now.nanos());
        machine.set_host_await_responses([(self.name.clone(), std::iter::repeat_n(time, answers))]);
    }
}

impl Calls {
    const fn and(self, repeated: bool) -> Self {
        match self {
            Self::AtMost(calls) if !repeated => Self::AtMost(calls.saturating_add(1)),
            _ => Self::Unbounded,
        }
    }
}
