//! A filter that lets every request pass without a look at it: what crossing into wasm costs by itself.

#![expect(missing_docs, reason = "the macro exports a function")]

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType};

proxy_wasm::main! {{
    proxy_wasm::set_root_context(|_| Box::new(Trivial));
}}

struct Trivial;

impl Context for Trivial {}

impl RootContext for Trivial {
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Self))
    }
}

impl HttpContext for Trivial {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        Action::Continue
    }
}
