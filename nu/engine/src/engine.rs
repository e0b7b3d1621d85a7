//! The two engines: evaluation of package files, and builds. They declare the same commands with the same signatures,
//! so that a closure parsed in one parses the same in the other; what differs is what the commands do when they run.
use crate::commands;
use nu_protocol::{
    Config, PipelineData, ShellError, Span, Value,
    debugger::WithoutDebug,
    engine::{EngineState, Stack, StateWorkingSet},
};

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Phase {
    Eval,
    Build,
}

/// How deep commands may call each other; the stack of the module has room for it.
const RECURSION_LIMIT: i64 = 200;

pub fn new(phase: Phase, kinds: Vec<commands::fetch::Kind>) -> EngineState {
    let mut es = EngineState::new();
    let delta = {
        let mut ws = StateWorkingSet::new(&es);
        commands::pure::bind(&mut ws);
        commands::bind(&mut ws, phase, kinds);
        ws.render()
    };
    es.merge_delta(delta).expect("bind commands");
    // The constant `$nu` is never given a value, so facts of the host cannot leak in.
    // The parser needs PWD; nothing else is in the environment.
    es.add_env_var("PWD".into(), Value::string("/", Span::unknown()));
    let mut config = Config::default();
    config.recursion_limit = RECURSION_LIMIT;
    es.set_config(config);
    es
}

/// Evaluates a parsed block without input.
pub fn eval(es: &EngineState, stack: &mut Stack, block: &nu_protocol::ast::Block) -> Result<Value, ShellError> {
    nu_engine::eval_block::<WithoutDebug>(es, stack, block, PipelineData::empty())?.body.into_value(Span::unknown())
}
