//! A package's `main`, evaluated once for each set of arguments: a package that ten others depend on is described once.
//!
//! Packages that call each other recurse on the stack of the module, which is bounded. A call that would go deeper than `DEEP` does not:
//! the evaluation is suspended, the called package is evaluated first, from an empty stack, and the evaluation is repeated with its result.
//! So chains of dependencies may be of any length. While an evaluation is suspended the host is not asked anything.
use crate::{
    canon,
    commands::{fail, fetch},
    host,
};
use nu_engine::{CallEval, command_prelude::*};
use nu_protocol::{DeclId, debugger::WithoutDebug};
use std::{borrow::Cow, cell::RefCell, collections::HashMap};

/// How deep calls may be nested for a package to be evaluated there; half of what commands may be.
const DEEP: u64 = 64;

/// The host shows no more messages than this.
const MAX_SAID: usize = 1000;

/// Something that an evaluation printed: a text, or all that the package with this key printed.
enum Said {
    Text(String),
    By(String),
}

/// A package that was evaluated.
struct Done {
    result: Result<Value, ShellError>,
    said: Vec<Said>,
}

/// A call of a package that waits to be evaluated.
struct Waiting {
    package: Package,
    args: Args,
    key: String,
    head: Span,
}

#[derive(Default)]
struct State {
    done: HashMap<String, Done>,
    /// What the evaluations that are under way printed, the innermost last.
    said: Vec<Vec<Said>>,
    /// The call that the evaluation is suspended for.
    waiting: Option<Waiting>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::default();
}

fn state<T>(f: impl FnOnce(&mut State) -> T) -> T {
    STATE.with(|s| f(&mut s.borrow_mut()))
}

/// Forgets all results.
pub fn reset() {
    state(|s| *s = State::default());
}

/// Whether the evaluation is suspended: what it does is repeated.
pub fn suspended() -> bool {
    state(|s| s.waiting.is_some())
}

/// The error that ends a suspended evaluation. The driver takes no notice of it.
pub fn suspension(head: Span) -> ShellError {
    fail("this evaluation is suspended", head, "")
}

fn add(to: &mut Vec<Said>, what: impl IntoIterator<Item = Said>) {
    to.extend(what.into_iter().take(MAX_SAID.saturating_sub(to.len())));
}

/// Keeps a text that an evaluation printed, or returns it if none is under way.
pub fn say(text: String) -> Option<String> {
    state(|s| match s.said.last_mut() {
        Some(said) => {
            add(said, [Said::Text(text)]);
            None
        }
        None => Some(text),
    })
}

/// Stands for the `main` of the module at `path`.
#[derive(Clone)]
pub struct Package {
    pub path: String,
    pub main: DeclId,
    pub signature: Signature,
}

/// The arguments of one call, evaluated.
#[derive(Clone, Default)]
pub struct Args {
    pub positional: Vec<Value>,
    pub named: Vec<(String, Option<Value>)>,
}

/// The files that the paths in an argument are written in: `./a` of one file is not `./a` of another.
fn places(es: &EngineState, v: &Value) -> String {
    match v {
        Value::String { val, .. } if fetch::beside(val) => format!("\0@{}", fetch::file_of_value(es, v).unwrap_or_default()),
        Value::List { vals, .. } => vals.iter().map(|x| places(es, x)).collect(),
        Value::Record { val, .. } => {
            let mut fields: Vec<_> = val.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            fields.into_iter().map(|(_, x)| places(es, x)).collect()
        }
        _ => String::new(),
    }
}

impl Package {
    fn args(&self, es: &EngineState, stack: &mut Stack, call: &Call) -> Result<Args, ShellError> {
        let fixed = self.signature.required_positional.len() + self.signature.optional_positional.len();
        let Args { mut positional, mut named } = Args::default();
        for i in 0..fixed {
            match call.opt::<Value>(es, stack, i)? {
                Some(v) => positional.push(v),
                None => break,
            }
        }
        if self.signature.rest_positional.is_some() && positional.len() == fixed {
            positional.extend(call.rest::<Value>(es, stack, fixed)?);
        }
        for flag in self.signature.named.iter().filter(|f| f.long != "help") {
            let name = flag.long.as_str();
            let given = if flag.arg.is_some() {
                call.get_flag::<Value>(es, stack, name)?.map(Some)
            } else {
                call.has_flag(es, stack, name)?.then_some(None)
            };
            if let Some(v) = given {
                named.push((name.to_string(), v));
            }
        }
        Ok(Args { positional, named })
    }

    fn key(&self, es: &EngineState, args: &Args) -> Option<String> {
        let mut key = self.path.clone();
        for v in &args.positional {
            key += "\0";
            key += &canon::canon(v).ok()?;
            key += &places(es, v);
        }
        for (n, v) in &args.named {
            key += &format!("\0--{n}=");
            if let Some(v) = v {
                key += &canon::canon(v).ok()?;
                key += &places(es, v);
            }
        }
        Some(key)
    }

    fn eval(&self, es: &EngineState, stack: &Stack, args: Args, head: Span) -> Result<Value, ShellError> {
        let decl = es.get_decl(self.main);
        let Some(block_id) = decl.block_id() else {
            return Err(ShellError::NushellFailed { msg: "main has no body".into() });
        };
        let block = es.get_block(block_id);
        // A package sees nothing of its caller, not even the environment: what it returns depends on its arguments alone.
        let mut callee = Stack::new().collect_value().gather_captures(es, &block.captures);
        callee.recursion_count = stack.recursion_count + 1;
        let limit = es.config.recursion_limit as u64;
        if callee.recursion_count > limit {
            return Err(ShellError::RecursionLimitReached { recursion_limit: limit, span: block.span });
        }
        let signature = &block.signature;
        let mut call = CallEval::new(callee, head, block.span.unwrap_or(head), nu_engine::eval_block_with_early_return::<WithoutDebug>);
        for v in args.positional {
            call.add_positional(signature, Cow::Owned(v))?;
        }
        for (name, v) in args.named {
            call.add_named(signature, &name, None, v.map(Cow::Owned))?;
        }
        call.run(es, block, PipelineData::empty())?.into_value(head)
    }

    /// Evaluates the package without arguments.
    pub fn plain(&self, es: &EngineState, stack: &Stack, head: Span) -> Result<Value, ShellError> {
        self.memo(es, stack, Args::default(), head)
    }

    /// Evaluates the package, or returns what it returned before for the same arguments.
    fn memo(&self, es: &EngineState, stack: &Stack, args: Args, head: Span) -> Result<Value, ShellError> {
        if suspended() {
            return Err(suspension(head));
        }
        let Some(key) = self.key(es, &args) else {
            return self.eval(es, stack, args, head);
        };
        let known = state(|s| {
            let done = s.done.get(&key)?;
            if let Some(outer) = s.said.last_mut()
                && !done.said.is_empty()
            {
                add(outer, [Said::By(key.clone())]);
            }
            Some(done.result.clone())
        });
        if let Some(result) = known {
            return Ok(result?.with_span(head));
        }
        if stack.recursion_count >= DEEP {
            state(|s| s.waiting = Some(Waiting { package: self.clone(), args, key, head }));
            return Err(suspension(head));
        }
        state(|s| s.said.push(vec![]));
        let result = self.eval(es, stack, args, head);
        state(|s| {
            let said = s.said.pop().unwrap_or_default();
            if s.waiting.is_some() {
                return Err(suspension(head)); // whatever the package made of the error
            }
            let outer = s.said.last_mut().expect("the evaluation that called");
            if result.is_err() {
                add(outer, said);
                return result;
            }
            if !said.is_empty() {
                add(outer, [Said::By(key.clone())]);
            }
            s.done.insert(key, Done { result: result.clone(), said });
            Ok(result?.with_span(head))
        })
    }

    /// Evaluates the package that was asked for, and hands the host what was printed, in the order of the calls.
    pub fn first(&self, es: &EngineState, args: Args) -> Result<Value, ShellError> {
        let mut tasks: Vec<Waiting> = vec![];
        loop {
            state(|s| s.said = vec![vec![]]);
            let stack = Stack::new().collect_value();
            let result = match tasks.last() {
                Some(t) => t.package.memo(es, &stack, t.args.clone(), t.head),
                None => self.memo(es, &stack, args.clone(), Span::unknown()),
            };
            if let Some(next) = state(|s| s.waiting.take()) {
                if tasks.iter().any(|t| t.key == next.key) {
                    return Err(fail(format!("{} is called by itself, with the same arguments", next.package.path), next.head, "end the recursion"));
                }
                tasks.push(next);
                continue;
            }
            match tasks.pop() {
                // Who called it is evaluated again, and meets the error there.
                Some(t) if result.is_err() => state(|s| {
                    let said = s.said.pop().unwrap_or_default();
                    s.done.insert(t.key, Done { result, said });
                }),
                Some(_) => {}
                None => {
                    let v = result?;
                    tell()?;
                    return Ok(v);
                }
            }
        }
    }
}

/// Hands the host what was printed: of a package that several called, once.
fn tell() -> Result<(), ShellError> {
    let mut open: Vec<_> = state(|s| std::mem::take(&mut s.said)).into_iter().map(Vec::into_iter).collect();
    while let Some(said) = open.last_mut() {
        match said.next() {
            None => drop(open.pop()),
            Some(Said::Text(text)) => {
                host::call("print", serde_json::json!({"text": text})).map_err(|r| r.at(Span::unknown()))?;
            }
            Some(Said::By(key)) => {
                let said = state(|s| s.done.get_mut(&key).map(|d| std::mem::take(&mut d.said)));
                open.extend(said.map(Vec::into_iter));
            }
        }
    }
    Ok(())
}

impl Command for Package {
    fn name(&self) -> &str {
        &self.signature.name
    }
    fn description(&self) -> &str {
        &self.signature.description
    }
    fn signature(&self) -> Signature {
        self.signature.clone()
    }
    fn run(&self, es: &EngineState, stack: &mut Stack, call: &Call, _input: PipelineData) -> Result<PipelineData, ShellError> {
        let args = self.args(es, stack, call)?;
        Ok(self.memo(es, stack, args, call.head)?.into_pipeline_data())
    }
}
