import { loadBytes } from './load/bytes.ts'
import { loadCalls } from './load/calls.ts'
import { loadFanOut } from './load/fan-out.ts'
import { loadHanging } from './load/hanging.ts'
import { loadHuge } from './load/huge.ts'
import { loadIdle } from './load/idle.ts'
import { loadKeyChecks } from './load/key-checks.ts'
import { loadLarge } from './load/large.ts'
import { loadLinks } from './load/link-takers.ts'
import { loadNotify } from './load/notify.ts'
import { loadPost } from './load/post.ts'
import { loadPublishers } from './load/publishers.ts'
import { loadRelay } from './load/relay.ts'
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

function run(port: number, task: Task): Promise<void> {
  switch (task.kind) {
    case 'fan-out': return loadFanOut(port, task, report)
    case 'post': return loadPost(port, task, report)
    case 'idle': return loadIdle(port, task, report)
    case 'notify': return loadNotify(port, task, report)
    case 'hanging': return loadHanging(port, task, report)
    case 'huge': return loadHuge(port, task, report)
    case 'relay': return loadRelay(port, task, report)
    case 'large': return loadLarge(port, task, report)
    case 'bytes': return loadBytes(port, task, report)
    case 'publishers': return loadPublishers(port, task, report)
    case 'links': return loadLinks(port, task, report)
    case 'calls': return loadCalls(port, task, report)
    case 'key-checks': return loadKeyChecks(task, report)
    default: return task satisfies never
  }
}

// Whatever goes wrong, in a callback of a socket or elsewhere, makes the figures worthless: the bench must hear of it.
process.on('uncaughtException', (error) => tell({ failed: error.message }))
process.on('disconnect', () => process.exit(0))
process.once('message', ({ port, task }: { port: number; task: Task }) => {
  run(port, task).then(() => tell({ done: true }), (error: Error) => tell({ failed: error.message }))
})
