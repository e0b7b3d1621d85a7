//! Nushell embedded in nuka: a WASI reactor that evaluates package files and runs build closures.
//! One request at a time; see host.rs for the memory interface.
mod absent;
mod args;
mod canon;
mod check;
mod commands;
mod complete;
mod diag;
mod engine;
mod examples;
mod freeze;
mod host;
mod load;
mod memo;
mod thaw;
mod threads;
mod trace;

use diag::Diag;
use commands::fetch::Kind;
use engine::Phase;
use nu_engine::ClosureEvalOnce;
use nu_protocol::{
    PipelineData, Span, Value,
    engine::{Stack, StateWorkingSet},
};
use serde::{Deserialize, Serialize};
use std::{any::Any, collections::BTreeMap, mem::ManuallyDrop};

/// A request, with the kinds of sources that there are.
#[derive(Deserialize)]
struct Call {
    kinds: Vec<Kind>,
    #[serde(flatten)]
    request: Request,
}

#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
enum Request {
    /// Evaluate the package in `file` with `args` as typed. For tests: `doubt` parses each closure on its own, also one that is known to stand.
    Eval { file: String, #[serde(default)] args: Vec<String>, #[serde(default)] doubt: bool },
    /// Run a frozen closure with one argument.
    Build(Build),
    /// Describe every bound command.
    Commands,
    /// Run the examples of every bound command.
    Examples,
}

#[derive(Deserialize)]
struct Build {
    name: String,
    closure: String,
    arg: String,
    cwd: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
    /// The folders of the input packages.
    #[serde(default)]
    inputs: Vec<String>,
}

#[derive(Serialize, Default)]
struct Response {
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// How many closures were parsed on their own because they were not known to stand; for tests.
    unknown: usize,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Diag>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    commands: Vec<examples::Described>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    examples: Vec<examples::Outcome>,
}

fn plain(msg: impl Into<String>) -> Vec<Diag> {
    vec![Diag { msg: msg.into(), ..Default::default() }]
}

fn evaluate(kinds: Vec<Kind>, file: &str, words: &[String]) -> Result<String, Vec<Diag>> {
    // The instance ends with its answer: taking the state of a thousand files apart would be for nothing.
    let mut es = ManuallyDrop::new(engine::new(Phase::Eval, kinds));
    let (path, module) = load::Load::new(&mut es).file(file)?;
    let main = es.get_module(module).main;
    let package = main.and_then(|id| (es.get_decl(id) as &dyn Any).downcast_ref::<memo::Package>()).cloned();
    let Some(package) = package else {
        return Err(vec![Diag {
            msg: "this file is no package: it has no `export def main`".into(),
            hint: "write: export def main [] { derivation { … } }".into(),
            file: path,
            line: 1,
            col: 1,
            len: 1,
            ..Default::default()
        }]);
    };
    let args = args::read(&load::module_name(&path), &package.signature, words).map_err(|d| vec![d])?;
    let shell = |e: &nu_protocol::ShellError| vec![diag::of_shell(&StateWorkingSet::new(&es), e)];
    let v = package.first(&es, args).map_err(|e| shell(&e))?;
    if !matches!(&v, Value::Record { val, .. } if val.contains("pid")) {
        let span = es.get_decl(package.main).block_id().and_then(|id| es.get_block(id).span).unwrap_or(Span::unknown());
        let ws = StateWorkingSet::new(&es);
        return Err(vec![diag::at(&ws, span, format!("`main` returns {}, no package", commands::a(&v.get_type())), "", "end it in `derivation { … }`")]);
    }
    let v = freeze::value(&es, &v).map_err(|e| shell(&e))?;
    canon::canon(&v).map_err(|e| shell(&e))
}

fn build(kinds: Vec<Kind>, request: Build) -> Result<(), Vec<Diag>> {
    let Build { name, closure, arg, cwd, env, inputs } = request;
    let unknown = Span::unknown();
    let read = |t: &str, what: &str| canon::read(t, unknown).map_err(|e| plain(format!("{what}: {e}")));
    let (frozen, arg) = (read(&closure, "closure")?, read(&arg, "argument")?);
    commands::fix::inputs(inputs.into_iter().map(Into::into).collect());
    let mut es = engine::new(Phase::Build, kinds);
    let mut ws = StateWorkingSet::new(&es);
    let thawed = thaw::closure(&mut ws, &frozen, &name)?;
    let delta = ws.render();
    es.merge_delta(delta).map_err(|e| plain(e.to_string()))?;
    let mut stack = Stack::new();
    stack.add_env_var("PWD".into(), Value::string(cwd, unknown));
    for (k, v) in env {
        stack.add_env_var(k, Value::string(v, unknown));
    }
    trace::start(&es);
    let shell = |e: &nu_protocol::ShellError| vec![trace::of_shell(&es, e)];
    let code = thawed.into_closure().map_err(|e| shell(&e))?;
    // What the last program of the closure writes goes to the log, not into a value that nobody reads.
    ClosureEvalOnce::new_preserve_out_dest(&es, &stack, code)
        .add_arg(arg)
        .and_then(|c| c.run_with_input(PipelineData::empty()))
        .and_then(|p| p.into_value(unknown))
        .map_err(|e| shell(&e))?;
    Ok(())
}

fn answer(Call { kinds, request }: Call) -> Response {
    load::reset();
    memo::reset();
    match request {
        Request::Eval { file, args, doubt } => {
            freeze::begin(doubt);
            match evaluate(kinds, &file, &args) {
                Ok(v) => Response { value: Some(v), unknown: freeze::unknown(), ..Default::default() },
                Err(errors) => Response { errors, ..Default::default() },
            }
        }
        Request::Build(request) => match build(kinds, request) {
            Ok(()) => Response { value: Some("null".into()), ..Default::default() },
            Err(errors) => Response { errors, ..Default::default() },
        },
        Request::Commands => Response { commands: examples::describe(&engine::new(Phase::Eval, kinds)), ..Default::default() },
        Request::Examples => Response { examples: examples::run(&engine::new(Phase::Eval, kinds)), ..Default::default() },
    }
}

/// # Safety
/// `p` and `n` describe a request buffer made with `nk_alloc`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn nk_call(p: *const u8, n: usize) -> u64 {
    let resp = match serde_json::from_slice::<Call>(unsafe { std::slice::from_raw_parts(p, n) }) {
        Ok(req) => answer(req),
        Err(e) => Response { errors: plain(format!("request: {e}")), ..Default::default() },
    };
    host::give(serde_json::to_vec(&resp).unwrap_or_default())
}
