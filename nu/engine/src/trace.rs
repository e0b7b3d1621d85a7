//! Where a command that failed was called from. Nushell keeps no stack of calls that an error could be asked for;
//! its debugger sees each instruction, and this one notes the calls that an error leaves on its way out.
use crate::diag::{self, Diag};
use nu_protocol::{
    PipelineExecutionData, ShellError, Span,
    debugger::Debugger,
    engine::{EngineState, Stack, StateWorkingSet},
    ir::{Instruction, IrBlock},
};
use std::cell::RefCell;

/// More calls than this in one another are a recursion.
const MAX_CALLS: usize = 8;

thread_local! {
    static CALLS: RefCell<Vec<Span>> = RefCell::default();
}

/// Notes calls in builds.
#[derive(Debug)]
pub struct Trace;

impl Debugger for Trace {
    /// While an error is on its way out no instruction begins: one that does follows a `catch`.
    fn enter_instruction(&mut self, _: &EngineState, _: &Stack, _: &IrBlock, _: usize, _: &[PipelineExecutionData]) {
        CALLS.with(|c| c.borrow_mut().clear());
    }

    fn leave_instruction(&mut self, es: &EngineState, _: &Stack, ir: &IrBlock, index: usize, _: &[PipelineExecutionData], error: Option<&ShellError>) {
        if error.is_some()
            && let Instruction::Call { decl_id, .. } = &ir.instructions[index]
            && es.get_decl(*decl_id).block_id().is_some()
        {
            CALLS.with(|c| c.borrow_mut().push(ir.spans[index]));
        }
    }
}

/// Makes builds note their calls.
pub fn start(es: &EngineState) {
    CALLS.with(|c| c.borrow_mut().clear());
    // It fails only after a panic, which ends the module.
    let _ = es.activate_debugger(Box::new(Trace));
}

/// The diagnostic of `e`, with the calls on the way to it, the innermost first.
pub fn of_shell(es: &EngineState, e: &ShellError) -> Diag {
    let ws = StateWorkingSet::new(es);
    let mut d = diag::of_shell(&ws, e);
    let spans = CALLS.with(|c| std::mem::take(&mut *c.borrow_mut()));
    let mut last = (d.file.clone(), d.line);
    for span in spans {
        let at = diag::at(&ws, span, "", "", "");
        let here = (at.file.clone(), at.line);
        // An error about the call itself is shown there.
        if at.file.is_empty() || here == last || d.calls.len() == MAX_CALLS {
            continue;
        }
        last = here;
        d.calls.push(at.place());
    }
    d
}
