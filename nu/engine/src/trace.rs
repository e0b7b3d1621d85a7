//! Where a command that failed was called from. Nushell keeps no stack of calls that an error could be asked for;
//! its debugger sees each instruction, and this one notes the calls that an error leaves on its way out.
use crate::diag::{self, Diag};
use nu_protocol::{
    PipelineData, PipelineExecutionData, ShellError, Span, Value,
    ast::Block,
    debugger::Debugger,
    engine::{EngineState, Stack, StateWorkingSet},
    ir::{Instruction, IrBlock},
};
use std::{cell::RefCell, mem::take};

/// More calls than this in one another are a recursion.
const MAX_CALLS: usize = 8;

#[derive(Default)]
struct Calls {
    /// Those that an error has left on its way out, the innermost first.
    now: Vec<Span>,
    /// Those of an error that has become a value, which the next command raises.
    held: Vec<Span>,
}

thread_local! {
    static CALLS: RefCell<Calls> = RefCell::default();
}

/// Notes calls in builds.
#[derive(Debug)]
pub struct Trace;

impl Debugger for Trace {
    fn enter_block(&mut self, _: &EngineState, _: &Block) {
        CALLS.with(|c| c.borrow_mut().held.clear());
    }

    /// While an error is on its way out no instruction begins: one that does follows a `catch`.
    fn enter_instruction(&mut self, _: &EngineState, _: &Stack, _: &IrBlock, _: usize, _: &[PipelineExecutionData]) {
        CALLS.with(|c| c.borrow_mut().now.clear());
    }

    fn leave_instruction(
        &mut self,
        es: &EngineState,
        _: &Stack,
        ir: &IrBlock,
        index: usize,
        registers: &[PipelineExecutionData],
        error: Option<&ShellError>,
    ) {
        let Instruction::Call { decl_id, src_dst } = &ir.instructions[index] else { return };
        CALLS.with(|c| {
            let c = &mut *c.borrow_mut();
            // What fails before `| ignore` gives a value, and `ignore` fails by it.
            let value = error.is_none() && matches!(registers[src_dst.get() as usize].body, PipelineData::Value(Value::Error { .. }, _));
            let fails = error.is_some() || value;
            if fails && c.now.is_empty() {
                c.now = take(&mut c.held);
            }
            if fails && es.get_decl(*decl_id).block_id().is_some() {
                c.now.push(ir.spans[index]);
            }
            c.held = if value { take(&mut c.now) } else { vec![] };
        });
    }
}

/// Makes builds note their calls.
pub fn start(es: &EngineState) {
    CALLS.with(|c| *c.borrow_mut() = Calls::default());
    // It fails only after a panic, which ends the module.
    let _ = es.activate_debugger(Box::new(Trace));
}

/// The diagnostic of `e`, with the calls on the way to it, the innermost first.
pub fn of_shell(es: &EngineState, e: &ShellError) -> Diag {
    let ws = StateWorkingSet::new(es);
    let mut d = diag::of_shell(&ws, e);
    let spans = CALLS.with(|c| take(&mut c.borrow_mut().now));
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
