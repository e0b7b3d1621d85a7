//! A package's `main`, evaluated once for each set of arguments: a package that ten others depend on is described once.
use crate::canon;
use nu_engine::{CallEval, command_prelude::*};
use nu_protocol::{DeclId, debugger::WithoutDebug};
use std::{borrow::Cow, cell::RefCell, collections::HashMap};

thread_local! {
    static DONE: RefCell<HashMap<String, Value>> = RefCell::default();
}

/// Forgets all results.
pub fn reset() {
    DONE.with(|d| d.borrow_mut().clear());
}

/// Stands for the `main` of the module at `path`.
#[derive(Clone)]
pub struct Package {
    pub path: String,
    pub main: DeclId,
    pub signature: Signature,
}

/// The arguments of one call, evaluated.
#[derive(Default)]
pub struct Args {
    pub positional: Vec<Value>,
    pub named: Vec<(String, Option<Value>)>,
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

    fn key(&self, args: &Args) -> Option<String> {
        let mut key = self.path.clone();
        for v in &args.positional {
            key += "\0";
            key += &canon::canon(v).ok()?;
        }
        for (n, v) in &args.named {
            key += &format!("\0--{n}=");
            if let Some(v) = v {
                key += &canon::canon(v).ok()?;
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
    pub fn memo(&self, es: &EngineState, stack: &Stack, args: Args, head: Span) -> Result<Value, ShellError> {
        let key = self.key(&args);
        if let Some(v) = key.as_ref().and_then(|k| DONE.with(|d| d.borrow().get(k).cloned())) {
            return Ok(v.with_span(head));
        }
        let v = self.eval(es, stack, args, head)?.with_span(head);
        if let Some(k) = key {
            DONE.with(|d| d.borrow_mut().insert(k, v.clone()));
        }
        Ok(v)
    }
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
