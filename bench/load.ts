import type { FromLoad, Report, Task } from './task.ts'

/*
 * The load generator, a process of its own: bare sockets and a frame counter that does no more than it must, so that
 * it costs less than the server.
 */
function tell(what: FromLoad): void {
  process.send?.(what)
}

const report: Report = (phase) => new Promise((resolve) => {
  process.once('message', () => resolve())
  tell(phase)
})

/** Loads no more than it needs: a process of its own is begun for every measurement. */
async function run(port: number, task: Task): Promise<void> {
  switch (task.kind) {
    case 'fan-out': return (await import('./load/fan-out.ts')).loadFanOut(port, task, report)
    case 'post': return (await import('./load/post.ts')).loadPost(port, task, report)
    case 'idle': return (await import('./load/idle.ts')).loadIdle(port, task, report)
    case 'notify': return (await import('./load/notify.ts')).loadNotify(port, task, report)
    case 'hanging': return (await import('./load/hanging.ts')).loadHanging(port, task, report)
    case 'huge': return (await import('./load/huge.ts')).loadHuge(port, task, report)
    case 'relay': return (await import('./load/relay.ts')).loadRelay(port, task, report)
    case 'large': return (await import('./load/large.ts')).loadLarge(port, task, report)
    case 'bytes': return (await import('./load/bytes.ts')).loadBytes(port, task, report)
    case 'publishers': return (await import('./load/publishers.ts')).loadPublishers(port, task, report)
    case 'links': return (await import('./load/link-takers.ts')).loadLinks(port, task, report)
    case 'calls': return (await import('./load/calls.ts')).loadCalls(port, task, report)
    case 'key-checks': return (await import('./load/key-checks.ts')).loadKeyChecks(task, report)
    default: return task satisfies never
  }
}

// Whatever goes wrong, in a callback of a socket or elsewhere, makes the figures worthless: the bench must hear of it.
process.on('uncaughtException', (error) => tell({ failed: error.message }))
process.on('disconnect', () => process.exit(0))
process.once('message', ({ port, task }: { port: number; task: Task }) => {
  run(port, task).then(() => tell({ done: true }), (error: Error) => tell({ failed: error.message }))
})
