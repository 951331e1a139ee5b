//! Policies of several modules: packages that import from one another, and now and then in a way that may not be.

use super::{Kind, Writer};
use fastrand::Rng;

/// A package of helpers, the one that decides, and perhaps another module of that.
pub(crate) fn packages(seed: u64) -> String {
    let mut rng = Rng::with_seed(seed);
    let mut writer = Writer { rng: &mut rng, variables: Vec::new(), rules: Vec::new(), imports: Vec::new(), next: 0 };
    let library = writer.pick(&["libscbte", "scbte.library", "libscbte.deep"]);
    let mut text = format!("package {library}\n{}", writer.module("h", library));
    if writer.chance(50) {
        // What another module of the package defines has no other name here.
        text = format!("{text}package scbte\n{}", writer.module("r", "scbte"));
        for rule in writer.rules.iter_mut().filter(|rule| rule.name.starts_with("data.scbte.")) {
            rule.name = rule.name.replace("data.scbte.r", "r");
        }
    }
    let imports = writer.imports(library);
    let mut rules = String::new();
    for number in 0..writer.rng.usize(..3) {
        rules.push_str(&writer.helper(&format!("s{number}")));
        rules.push('\n');
    }
    let decision = writer.decision();
    format!("{text}package scbte\n{imports}{rules}{decision}")
}

impl Writer<'_> {
    /// Imports and helpers; what they define is known by its whole path afterwards.
    fn module(&mut self, prefix: &str, package: &str) -> String {
        let before: Vec<_> = self.rules.clone();
        let mut text = self.imports("libscbte");
        for number in 0..self.rng.usize(1..4) {
            let name = format!("{prefix}{number}");
            text.push_str(&self.helper(&name));
            text.push('\n');
        }
        self.imports.clear();
        let own: Vec<_> = self.rules.drain(..).skip(before.len()).collect();
        self.rules = before;
        for mut rule in own {
            rule.name = format!("data.{package}.{}", rule.name);
            self.rules.push(rule);
        }
        text
    }

    /// Some imports, known under their names from here on.
    fn imports(&mut self, library: &str) -> String {
        let mut text = String::new();
        for _ in 0..self.rng.usize(..3) {
            let import = self.import();
            if !text.contains(&import) {
                text.push_str(&import);
            }
        }
        let path = format!("data.{library}");
        let known: Vec<_> = self.rules.iter().filter(|rule| rule.name.starts_with(&path)).cloned().collect();
        if known.is_empty() {
            return text;
        }
        match self.rng.u32(..100) {
            0..30 => {
                let last = library.rsplit('.').next().unwrap();
                text.push_str(&format!("import {path}\n"));
                self.rename(&path, last);
            }
            30..60 => {
                let odd = self.chance(15);
                let alias = if odd { self.pick(&["who", "r0", "lib"]) } else { "helpers" };
                text.push_str(&format!("import {path} as {alias}\n"));
                self.rename(&path, alias);
            }
            60..80 => {
                let rule = self.pick(&known).name;
                let name = rule.rsplit('.').next().unwrap().to_owned();
                text.push_str(&format!("import {rule}\n"));
                self.rename(&rule, &name);
            }
            _ => {}
        }
        if self.chance(8) {
            let odd = self.pick(&["PATH[TEXT]", "PATH[TEXT].x", "PATH[\"h0\"]", "PATH[`h0`]", "PATH.h1.x", "PATH"]);
            let odd = odd.replace("PATH", &path).replace("TEXT", "input.claims.s");
            self.imports.push((odd, Kind::Any));
        }
        text
    }

    fn rename(&mut self, path: &str, name: &str) {
        for rule in &mut self.rules {
            if let Some(rest) = rule.name.strip_prefix(path) {
                rule.name = format!("{name}{rest}");
            }
        }
    }

    fn import(&mut self) -> String {
        let (path, last, kind) = self.pick(&[
            ("input.claims.s", "s", Kind::Text),
            ("input.claims[\"t\"]", "t", Kind::Text),
            ("input.sub", "sub", Kind::Text),
            ("input.claims.n", "n", Kind::Number),
            ("input.claims.roles", "roles", Kind::Texts),
            ("input.claims.o", "o", Kind::Object),
            ("data.roles", "roles", Kind::Object),
            ("data.limits", "limits", Kind::Object),
            ("data.denied", "denied", Kind::Texts),
            ("data.people", "people", Kind::Objects),
        ]);
        if self.chance(50) {
            self.imports.push((last.to_owned(), kind));
            return format!("import {path}\n");
        }
        let alias = match self.rng.u32(..100) {
            0..60 => self.fresh("m"),
            60..90 => self.pick(&["who", "what", "these"]).to_owned(),
            _ => self.pick(&["x1", "v2", "e3", "a1", "r0", "every_e2"]).to_owned(),
        };
        self.imports.push((alias.clone(), kind));
        format!("import {path} as {alias}\n")
    }
}
