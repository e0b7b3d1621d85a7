//! The commands of the engine: Nushell's pure ones (pure.rs) and nuka's own.
mod exec;
pub mod fetch;
mod files;
pub mod fix;
mod package;
pub mod paths;
pub mod pure;
mod unpack;

use crate::engine::Phase;
use nu_engine::command_prelude::*;
use nu_protocol::shell_error::generic::GenericError;
use std::any::Any;

type Run = fn(&EngineState, &mut Stack, &Call, PipelineData) -> Result<PipelineData, ShellError>;

/// One of nuka's own commands, as a row of a table.
pub struct Spec {
    pub name: &'static str,
    pub about: &'static str,
    pub more: &'static str,
    pub sign: fn(Signature) -> Signature,
    pub run: Run,
    /// Whether it also runs while package files are evaluated.
    pub eval: bool,
    /// What it is good for: the text, and what it says.
    pub examples: &'static [(&'static str, &'static str)],
}

#[derive(Clone)]
struct Own(&'static Spec, Phase);

impl Command for Own {
    fn name(&self) -> &str {
        self.0.name
    }
    fn description(&self) -> &str {
        self.0.about
    }
    fn extra_description(&self) -> &str {
        self.0.more
    }
    fn signature(&self) -> Signature {
        (self.0.sign)(signature(self.0.name))
    }
    fn examples(&self) -> Vec<Example<'_>> {
        self.0.examples.iter().map(|(example, description)| Example { example, description, result: None }).collect()
    }
    fn run(&self, es: &EngineState, stack: &mut Stack, call: &Call, input: PipelineData) -> Result<PipelineData, ShellError> {
        if self.0.name != "print" {
            refuse(self.0.name, self.0.eval, self.1, call.head)?;
        }
        (self.0.run)(es, stack, call, input)
    }
}

/// The signature that one of nuka's own commands begins with.
fn signature(name: &str) -> Signature {
    Signature::build(name).category(Category::Custom("nuka".into())).allow_variants_without_examples(true)
}

/// Whether a command is one of nuka's own.
pub fn own(c: &dyn Command) -> bool {
    let c = c as &dyn Any;
    c.is::<Own>() || c.is::<fetch::Fetch>()
}

/// Refuses a command that does not run in this phase; `eval` says that it is for evaluation.
fn refuse(name: &str, eval: bool, phase: Phase, head: Span) -> Result<(), ShellError> {
    match phase {
        Phase::Eval if !eval => {
            let what = if name == "run-external" { "a program".into() } else { format!("`{name}`") };
            Err(fail(format!("{what} runs only in a build closure"), head, "evaluation sees no files and runs no programs"))
        }
        Phase::Build if eval => Err(fail(format!("`{name}` describes a package: it does not run in a build"), head, "call it outside the build closure")),
        _ => Ok(()),
    }
}

/// An error of a command, shown at `span`.
pub fn fail(msg: impl Into<String>, span: Span, help: impl Into<String>) -> ShellError {
    let e = GenericError::new(msg.into(), "here", span);
    let help: String = help.into();
    ShellError::Generic(if help.is_empty() { e } else { e.with_help(help) })
}

/// The name of a type with its article.
pub fn a(t: &Type) -> String {
    let t = t.to_string();
    let article = if t.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {t}")
}

/// What a frozen closure is parsed after: its one argument is the closure.
#[derive(Clone)]
pub struct Thawed;

impl Thawed {
    pub const NAME: &'static str = "__closure";
}

impl Command for Thawed {
    fn name(&self) -> &str {
        Self::NAME
    }
    fn description(&self) -> &str {
        "Reads a stored closure; for nuka itself."
    }
    fn signature(&self) -> Signature {
        Signature::build(Self::NAME)
            .input_output_types(vec![(Type::Nothing, Type::Any)])
            .required("closure", SyntaxShape::Closure(None), "The closure.")
    }
    fn run(&self, es: &EngineState, stack: &mut Stack, call: &Call, _input: PipelineData) -> Result<PipelineData, ShellError> {
        Ok(call.req::<Value>(es, stack, 0)?.into_pipeline_data())
    }
}

/// Declares nuka's own commands.
pub fn bind(ws: &mut StateWorkingSet, phase: Phase, kinds: Vec<fetch::Kind>) {
    for table in [package::TABLE, fetch::TABLE, files::TABLE, exec::TABLE, fix::TABLE, unpack::TABLE] {
        for spec in table {
            ws.add_decl(Box::new(Own(spec, phase)));
        }
    }
    fetch::bind(ws, phase, kinds);
    ws.add_decl(Box::new(Thawed));
}
