//! `fetch …`: sources. The kinds are rows of a table that the host hands over with each request, so a new kind needs no new engine.
//! The host checks what is given, and computes PIDs.
use super::{Spec, fail, package, refuse};
use crate::{canon, diag, engine::Phase, freeze};
use nu_engine::command_prelude::*;
use nu_protocol::{ast::Expr, engine::StateWorkingSet};
use serde::Deserialize;
use serde_json::json;
use std::{cell::RefCell, sync::Arc};

/// A kind of source: the subcommand `fetch NAME`.
#[derive(Deserialize)]
pub struct Kind {
    name: String,
    about: String,
    more: String,
    /// What must be given, in this order.
    args: Vec<Param>,
    flags: Vec<Param>,
    examples: Vec<Shown>,
    /// Whether its first argument is a path beside a package file.
    local: bool,
}

/// A parameter or flag.
#[derive(Deserialize)]
struct Param {
    name: String,
    r#type: Shape,
    about: String,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Shape {
    String,
    Int,
    /// A flag without a value.
    Switch,
}

#[derive(Deserialize)]
struct Shown {
    example: String,
    about: String,
}

impl Shape {
    fn syntax(self) -> SyntaxShape {
        match self {
            Shape::Int => SyntaxShape::Int,
            Shape::String | Shape::Switch => SyntaxShape::String,
        }
    }
}

thread_local! {
    /// The names of the kinds.
    static NAMES: RefCell<Vec<String>> = RefCell::default();
}

pub const TABLE: &[Spec] = &[
    Spec {
        name: "fetch", about: "A source: a file or folder that a package is made from.", more: "The kinds are the subcommands: fetch url, fetch npm and so on.", eval: true,
        run: no_kind,
        sign: |s| package::package(s).optional("kind", SyntaxShape::String, "What kind of source.").rest("rest", SyntaxShape::Any, "What the kind wants.").allows_unknown_args(),
        examples: &[("fetch npm is-odd 3.0.1 --hash sha512-aaaa", "A package of the npm registry.")],
    },
];

/// Declares a command for each kind.
pub fn bind(ws: &mut StateWorkingSet, phase: Phase, kinds: Vec<Kind>) {
    NAMES.with(|n| *n.borrow_mut() = kinds.iter().map(|k| k.name.clone()).collect());
    for kind in kinds {
        ws.add_decl(Box::new(Fetch { name: format!("fetch {}", kind.name), kind: Arc::new(kind), phase }));
    }
}

#[derive(Clone)]
pub struct Fetch {
    name: String,
    kind: Arc<Kind>,
    phase: Phase,
}

impl Command for Fetch {
    fn name(&self) -> &str {
        &self.name
    }
    fn description(&self) -> &str {
        &self.kind.about
    }
    fn extra_description(&self) -> &str {
        &self.kind.more
    }
    fn signature(&self) -> Signature {
        let mut s = package::package(super::signature(&self.name));
        for p in &self.kind.args {
            s = s.required(&p.name, p.r#type.syntax(), &p.about);
        }
        for f in &self.kind.flags {
            s = match f.r#type {
                Shape::Switch => s.switch(&f.name, &f.about, None),
                shape => s.named(&f.name, shape.syntax(), &f.about, None),
            };
        }
        s
    }
    fn examples(&self) -> Vec<Example<'_>> {
        self.kind.examples.iter().map(|e| Example { example: &e.example, description: &e.about, result: None }).collect()
    }
    fn run(&self, es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
        refuse(&self.name, true, self.phase, call.head)?;
        let mut args = Record::new();
        for (i, p) in self.kind.args.iter().enumerate() {
            args.push(&p.name, call.req::<Value>(es, stack, i)?);
        }
        for f in &self.kind.flags {
            if f.r#type != Shape::Switch {
                if let Some(v) = call.get_flag::<Value>(es, stack, &f.name)? {
                    args.push(&f.name, v);
                }
            } else if call.has_flag(es, stack, &f.name)? {
                args.push(&f.name, Value::bool(true, call.head));
            }
        }
        let v = Value::record(args, call.head);
        let text = canon::canon(&freeze::value(es, &v)?)?;
        let mut arg = json!({"kind": self.kind.name, "args": text, "file": package::file_of(es, call.head), "at": diag::place(es, call.head)});
        if self.kind.local {
            arg["written"] = written(es, stack, call)?;
        }
        package::ask("fetch", arg, call.head, |field| v.as_record().ok()?.get(field).map(Value::span))
    }
    /// Its argument tells which variable it is.
    fn requires_ast_for_arguments(&self) -> bool {
        self.kind.local
    }
}

/// Where the first argument of a local kind is written: {file, literal}, or null if that is unknown.
/// Nushell gives an argument, and the value of a variable, the place where it is used. So of a variable, or a field of one, it is the value in
/// it that counts: that has the place where it was made, or given to a command. It is lost where a variable that holds a text alone is put into
/// another one, given to another command, or captured by a closure.
fn written(es: &EngineState, stack: &mut Stack, call: &Call) -> Result<serde_json::Value, ShellError> {
    let stored = |stack: &Stack| match &call.positional_nth(stack, 0)?.expr {
        Expr::Var(id) => stack.get_var_with_origin(*id, call.head).ok(),
        Expr::FullCellPath(path) => {
            let v = stack.get_var_with_origin(path.head.as_var()?, call.head).ok()?;
            v.follow_cell_path(&path.tail).ok().map(std::borrow::Cow::into_owned)
        }
        _ => None,
    };
    let v = match stored(stack) {
        Some(v) => v,
        None => call.req::<Value>(es, stack, 0)?,
    };
    Ok(match (file_of_value(es, &v), v.as_str()) {
        (Some(file), Ok(text)) => json!({"file": file, "literal": reads(diag::text_at(es, v.span()), text)}),
        _ => serde_json::Value::Null,
    })
}

/// Whether what is written somewhere is `text` itself, also in quotes or behind a flag, and not an expression whose value it is.
fn reads(written: &[u8], text: &str) -> bool {
    let flag = written.starts_with(b"--").then(|| written.iter().position(|b| matches!(b, b' ' | b'='))).flatten();
    let written = flag.map_or(written, |at| written[at + 1..].trim_ascii());
    let (read, error) = nu_parser::unescape_unquote_string(written, Span::unknown());
    error.is_none() && read == text
}

/// The package file that a value is written in. What comes from the command line is in none.
pub fn file_of_value(es: &EngineState, v: &Value) -> Option<String> {
    let span = v.span();
    diag::file_at(es, span.start).filter(|f| f.covered_span.contains_span(span)).map(|f| f.name.to_string())
}

/// Whether a text belongs to the file that it is written in, wherever it is used. The host has the same rule.
pub fn beside(text: &str) -> bool {
    text == "." || text == ".." || text.starts_with("./") || text.starts_with("../")
}

/// Runs for a kind of source that there is not, and for none.
fn no_kind(es: &EngineState, stack: &mut Stack, call: &Call, _: PipelineData) -> Result<PipelineData, ShellError> {
    let help = format!("the kinds are {}", NAMES.with(|n| n.borrow().join(", ")));
    Err(match call.opt::<Value>(es, stack, 0)? {
        None => fail("fetch: what kind of source?", call.head, help),
        Some(v) => fail(format!("fetch: there is no kind of source `{}`", v.to_expanded_string("", &es.config)), v.span(), help),
    })
}
