//! regorus' interpreter: what the filter would run without the machine.

use crate::Outcome;
use crate::cases::{Case, NOW, Verdict};
use crate::engine::Engine;
use regorus::Value;
use scbte_core::policy::PolicySource;
use std::hint::black_box;

/// The interpreter, its policy analysed and its inputs built beforehand.
pub(crate) struct Interpreter {
    engine: regorus::Engine,
    inputs: Vec<Value>,
}

impl Interpreter {
    fn value(&mut self, request: usize) -> anyhow::Result<Value> {
        self.engine.set_input(self.inputs[request].clone());
        self.engine.eval_rule(PolicySource::DEFAULT_ENTRYPOINT.to_owned())
    }
}

impl<'a> Engine<'a> for Interpreter {
    const NAME: &'static str = "interpreter";

    fn load(case: &'a Case) -> Outcome<Self> {
        load(case).map_err(|error| error.to_string())
    }

    fn verdict(&mut self, request: usize) -> Outcome<Verdict> {
        let value = self.value(request).map_err(|error| error.to_string())?;
        let value = serde_json::to_value(&value).map_err(|error| error.to_string())?;
        Verdict::of_value(&value).ok_or_else(|| format!("no decision: {value}"))
    }

    fn evaluate(&mut self, request: usize) {
        drop(black_box(self.value(black_box(request))));
    }
}

fn load(case: &Case) -> anyhow::Result<Interpreter> {
    let mut engine = regorus::Engine::new();
    // The clock is an option of regorus' that would bring every time zone with it.
    let now = |_| Ok(Value::from(NOW.nanos()));
    engine.add_extension("time.now_ns".to_owned(), 0, Box::new(now))?;
    engine.add_policy("policy.rego".to_owned(), case.rego.clone())?;
    engine.add_data(Value::from_json_str(&case.data)?)?;
    let inputs = case.requests.iter().map(|request| Value::from_json_str(&serde_json::to_string(&request.document())?));
    let inputs = inputs.collect::<anyhow::Result<Vec<_>>>()?;
    let mut interpreter = Interpreter { engine, inputs };
    // It analyses a policy at the first evaluation.
    interpreter.value(0)?;
    Ok(interpreter)
}
