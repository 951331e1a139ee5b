//! Values that were seen while the machine ran, by where their expressions stand.

use regorus::Value;
use regorus::rvm::program::{Program, SpanInfo};
use regorus::unstable::Span;
use std::collections::HashMap;

/// Where an expression stands in the compiled modules, the way the machine's program names places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Spot {
    pub(super) module: usize,
    pub(super) line: usize,
    pub(super) column: usize,
    length: usize,
}

impl Spot {
    pub(super) fn of(module: usize, span: &Span) -> Self {
        let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        Self { module, line: number(span.line), column: number(span.col), length: span.text().len() }
    }

    /// Of an instruction; `module` finds a module by its name.
    pub(super) fn of_instruction(program: &Program, pc: usize, module: impl Fn(&str) -> Option<usize>) -> Option<Self> {
        let span: &SpanInfo = program.instruction_spans.get(pc)?.as_ref()?;
        let module = module(span.get_source_name(&program.sources)?)?;
        Some(Self { module, line: span.line, column: span.column, length: span.length })
    }
}

/// The newest value of each expression.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    values: HashMap<Spot, Value>,
}

impl Notes {
    pub(super) fn set(&mut self, spot: Spot, value: Value) {
        self.values.insert(spot, value);
    }

    pub(super) fn get(&self, spot: Spot) -> Option<&Value> {
        self.values.get(&spot)
    }
}
