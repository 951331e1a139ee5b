//! Watching the machine at work.

use super::super::program::Probed;
use regorus::Value;
use regorus::rvm::RegoVM;
use regorus::rvm::vm::{ExecutionMode, ExecutionState, VmError};

/// A machine that stops before each instruction.
pub(super) struct Recorder {
    machine: RegoVM,
    probed: Probed,
}

/// The machine, about to run an instruction.
pub(super) struct Moment<'a> {
    /// The instruction.
    pub(super) pc: usize,
    /// Rules and functions that are being evaluated, one inside the other.
    pub(super) depth: usize,
    /// The innermost of them, by its number in the program.
    pub(super) rule: usize,
    /// Which of the rule's definitions.
    pub(super) definition: usize,
    /// Which of the definition's bodies.
    pub(super) body: usize,
    /// The values at hand.
    pub(super) registers: &'a [Value],
}

/// Instructions that a watched run may take for each of the real one: with the probes there are twice as many.
const PROBES: usize = 3;

impl Recorder {
    /// For a program with probes, and the data document.
    pub(super) fn new(probed: Probed, data: Value) -> Result<Self, VmError> {
        let mut machine = RegoVM::new();
        machine.load_program(probed.program.clone());
        machine.set_data(data)?;
        machine.set_execution_mode(ExecutionMode::Suspendable);
        machine.set_step_mode(true);
        Ok(Self { machine, probed })
    }

    /// Puts another data document in the place of the first.
    pub(super) fn set_data(&mut self, data: Value) -> Result<(), VmError> {
        self.machine.set_data(data)
    }

    /// The program that is watched.
    pub(super) const fn probed(&self) -> &Probed {
        &self.probed
    }

    /// Evaluates the entry point, and shows each moment.
    pub(super) fn run(
        &mut self,
        input: Value,
        budget: usize,
        mut show: impl FnMut(&Probed, Moment<'_>),
    ) -> Result<Value, VmError> {
        self.machine.set_input(input);
        self.machine.set_max_instructions(budget.saturating_mul(PROBES));
        let mut result = self.machine.execute_entry_point_by_index(0)?;
        loop {
            let ExecutionState::Suspended { pc, .. } = self.machine.execution_state() else {
                return Ok(result);
            };
            if let Some(moment) = self.moment(*pc) {
                show(&self.probed, moment);
            }
            result = self.machine.resume(None)?;
        }
    }

    fn moment(&self, pc: usize) -> Option<Moment<'_>> {
        let calls = self.machine.get_call_stack();
        let call = calls.last()?;
        Some(Moment {
            pc: self.probed.next_at(pc)?,
            depth: calls.len(),
            rule: usize::from(call.rule_index),
            definition: call.current_definition_index,
            body: call.current_body_index,
            registers: self.machine.get_registers(),
        })
    }
}
