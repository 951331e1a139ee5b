//! Leaves out of a proxy-wasm module the callbacks that it does not use, and what only debuggers read:
//! `scbte-trim IN OUT CALLBACK…`.
//!
//! The SDK exports every callback of the ABI, and Envoy enters the VM for each one that is exported, at about 0.4 µs: for
//! the log, the end, the body and the trailers of every response, though the filter has nothing to do there. What is not exported,
//! Envoy does not call (proxy-wasm ABI 0.2.1, "all callbacks are optional").

use std::process::ExitCode;
use wasm_encoder::{ExportSection, Module, RawSection};
use wasmparser::{Chunk, ExportSectionReader, Parser, Payload};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output, callbacks @ ..] = arguments.as_slice() else {
        eprintln!("usage: scbte-trim IN OUT CALLBACK…");
        return ExitCode::FAILURE;
    };
    match trim_file(input, output, callbacks) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scbte-trim: {input}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn trim_file(input: &str, output: &str, callbacks: &[String]) -> Outcome<()> {
    std::fs::write(output, trim(&std::fs::read(input)?, callbacks)?)?;
    Ok(())
}

/// The module without the exports of these names, which it must have, and without custom sections; everything else stays
/// byte for byte.
fn trim(module: &[u8], callbacks: &[String]) -> Outcome<Vec<u8>> {
    let mut trimmed = Module::new();
    let mut parser = Parser::new(0);
    let mut rest = module;
    loop {
        let Chunk::Parsed { consumed, payload } = parser.parse(rest, true)? else {
            return Err("it ends too early".into());
        };
        let section = payload.as_section();
        match payload {
            Payload::ExportSection(exports) => _ = trimmed.section(&without(exports, callbacks)?),
            // Its functions are read one by one, unless they are skipped.
            Payload::CodeSectionStart { range, .. } => {
                let data = module.get(range.clone()).ok_or("it ends too early")?;
                trimmed.section(&RawSection { id: 10, data });
                parser.skip_section();
                rest = module.get(range.end..).unwrap_or_default();
                continue;
            }
            // Names, mostly: a sixth of the module.
            Payload::CustomSection(_) => {}
            Payload::End(_) => return Ok(trimmed.finish()),
            _ => {
                if let Some((id, range)) = section {
                    trimmed.section(&RawSection { id, data: module.get(range).ok_or("it ends too early")? });
                }
            }
        }
        rest = rest.get(consumed..).unwrap_or_default();
    }
}

fn without(exports: ExportSectionReader<'_>, callbacks: &[String]) -> Outcome<ExportSection> {
    let mut kept = ExportSection::new();
    let mut missing: Vec<&String> = callbacks.iter().collect();
    for export in exports {
        let export = export?;
        match missing.iter().position(|name| *name == export.name) {
            Some(found) => _ = missing.remove(found),
            None => _ = kept.export(export.name, export.kind.into(), export.index),
        }
    }
    match missing.as_slice() {
        [] => Ok(kept),
        names => Err(format!("it does not export {names:?}").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{CodeSection, CustomSection, ExportKind, Function, FunctionSection, TypeSection};
    use wasmparser::Validator;

    /// A module with one function, exported under these names.
    fn module(exports: &[&str]) -> Vec<u8> {
        built(exports).finish()
    }

    fn built(exports: &[&str]) -> Module {
        let mut module = Module::new();
        let mut types = TypeSection::new();
        types.ty().function([], []);
        module.section(&types);
        module.section(FunctionSection::new().function(0));
        let mut section = ExportSection::new();
        exports.iter().for_each(|name| _ = section.export(name, ExportKind::Func, 0));
        module.section(&section);
        let mut function = Function::new([]);
        function.instructions().end();
        module.section(CodeSection::new().function(&function));
        module
    }

    #[test]
    fn what_is_named_is_left_out_and_the_rest_stays() {
        let mut module_with_names = built(&["a", "b", "c"]);
        module_with_names.section(&CustomSection { name: "name".into(), data: (&[1, 2, 3][..]).into() });
        let trimmed = trim(&module_with_names.finish(), &["b".to_owned()]).unwrap();
        assert_eq!(trimmed, module(&["a", "c"]));
        Validator::new().validate_all(&trimmed).unwrap();
        assert_eq!(trim(&trimmed, &[]).unwrap(), trimmed);
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        let error = |module: &[u8], name: &str| trim(module, &[name.to_owned()]).unwrap_err().to_string();
        assert_eq!(error(&module(&["a"]), "proxy_on_log"), r#"it does not export ["proxy_on_log"]"#);
        assert!(error(b"no module", "a").contains("magic"));
        assert!(trim(module(&["a"]).split_last().unwrap().1, &[]).is_err(), "cut short");
    }
}
