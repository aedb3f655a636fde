import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism, loadavg } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { selfSigned, temporaryFolder } from '../support/certificates.ts'
import { until } from '../support/events.ts'
import { openHealthyReaders, type HealthyReaders } from '../support/healthy-readers.ts'
import { startHubProcess } from '../support/hub.ts'
import type { StalledTask } from '../support/stalled-clients.ts'

/*
 * Ten thousand subscribers that never read, a hundred that do, and a thousand messages a second. Needs Linux.
 *   npm run soak:slow
 *   npm run soak:slow -- --kind sse --secure --sip-every 100 --size 65000 --rate 50
 * What the kernel keeps for sockets is no memory of the hub, and is told beside it: /proc/sys/net/ipv4/tcp_mem bounds it
 * for all sockets of the machine together, and past its last number nobody's bytes go out, whoever reads.
 */

const { values } = parseArgs({
  options: {
    stalled: { type: 'string', default: '10000' },
    healthy: { type: 'string', default: '100' },
    seconds: { type: 'string', default: '60' },
    rate: { type: 'string', default: '1000' },
    size: { type: 'string', default: '1024' },
    kind: { type: 'string', default: 'websocket' },
    'sip-every': { type: 'string', default: '0' },
    secure: { type: 'boolean', default: false },
    clients: { type: 'string', default: 'python' },
  },
})
const [wanted, healthy, seconds, rate, size] = [Number(values.stalled), Number(values.healthy), Number(values.seconds), Number(values.rate), Number(values.size)]
const MIB = 1_048_576
const BOUND_EACH = 65_536
const BOUND_FIXED = 256 * MIB
const BOUND_P99 = 50
const PAGE = 4096
/** What the kernel takes for one who does not read, over loopback with its large packets. */
const LOOPBACK_EACH = 4 * MIB
const FILL_BYTES = 409_600
const FILL_SECONDS = 4
/** Who does not read does not answer pings either; here it is to be let go for what it does not take. */
const NOT_FOR_SILENCE = ['--pong-deadline', '10m']
/** Files of a process that are no connections of a crowd. */
const OTHER_FILES = 100
const fileOf = (name: string): string => fileURLToPath(new URL(`../support/${name}`, import.meta.url))
const PYTHON = ['python3', fileOf('stalled_clients.py')] as const
const NODE = [process.execPath, fileOf('stalled-clients.ts')] as const

test(`${wanted} stalled ${values.kind} subscribers, ${healthy} healthy ones, ${rate} messages of ${size} bytes a second for ${seconds} s`, async (t) => {
  const clients = values.clients !== 'node' && spawnSync('python3', ['--version']).status === 0 ? PYTHON : NODE
  const stalled = Math.min(wanted, openFiles() - healthy - OTHER_FILES, clients === NODE ? Math.floor(kernelBounds()[0] / LOOPBACK_EACH) : Infinity)
  console.log(clients === PYTHON ? 'the stalled have the packets and the windows of a network (Python)' : 'the stalled have the packets and the windows of loopback (Node): the kernel keeps megabytes for each')
  if (stalled < wanted) console.log(`${stalled} instead of ${wanted}: open files ${openFiles()}, memory of the kernel for sockets ${mib(kernelBounds()[0])} MiB`)
  const hub = await startHubProcess(t, '--log-level', 'warn', ...NOT_FOR_SILENCE, ...tlsFlags(t))
  const pid = hub.child.pid as number
  await openStalled(t, clients, { port: hub.port, count: stalled, path: '/busy', kind: values.kind as StalledTask['kind'], secure: values.secure, sipEvery: Number(values['sip-every']) })
  const readers = await openHealthyReaders({ port: hub.port, path: '/busy', count: healthy, size, secure: values.secure })
  // The most from here on.
  writeFileSync(`/proc/${pid}/clear_refs`, '5')
  const before = memory(pid, 'VmRSS')
  const cpuBefore = cpuSeconds(pid)
  const kernelBefore = kernelPages()
  let kernelMost = 0
  const filling = await fill(readers)
  const looking = setInterval(() => (kernelMost = Math.max(kernelMost, kernelPages())), 100)
  const begin = Date.now()
  await readers.publish(rate, seconds)
  const patience = Date.now() + 30_000
  while (!readers.complete && Date.now() < patience) await new Promise((resolve) => setTimeout(resolve, 100))
  clearInterval(looking)
  const growth = memory(pid, 'VmHWM') - before
  const bound = stalled * BOUND_EACH + BOUND_FIXED
  const gone = letGo(hub.stderr() + hub.stdout())
  console.log([
    `memory of the hub (RSS): ${mib(before)} MiB before, grew by ${mib(growth)} MiB at most; the bound for ${stalled} is ${mib(bound)} MiB; ${mib(memory(pid, 'VmRSS'))} MiB at the end`,
    `kernel: sockets held ${mib((kernelMost - kernelBefore) * PAGE)} MiB more at most; tcp_mem (MiB): ${kernelBounds().map(mib).join(', ')}${kernelMost * PAGE > kernelBounds()[1] ? '; it was short of it, and what the healthy waited for is its own' : ''}`,
    filling,
    `latency of the healthy, publish to arrival: p50 ${readers.latency(0.5)} ms, p99 ${readers.latency(0.99)} ms, p99.9 ${readers.latency(0.999)} ms, most ${readers.latency(1)} ms (the publisher itself was late by up to ${readers.publisherLate.toFixed(0)} ms)`,
    `lost: ${readers.missing}; out of order: ${readers.disorder}`,
    `let go: ${gone.count} of ${stalled}, in ${gone.lines} log lines${gone.lines === 0 ? '' : `, from ${((gone.first - begin) / 1000).toFixed(2)} s to ${((gone.last - begin) / 1000).toFixed(2)} s`}`,
    `CPU of the hub: ${(cpuSeconds(pid) - cpuBefore).toFixed(1)} s; load of the machine (${availableParallelism()} cores): ${(loadavg()[0] as number).toFixed(1)}; about 2 is this soak's own`,
  ].join('\n'))
  assert.equal(readers.missing, 0, 'the healthy lose nothing')
  assert.equal(readers.disorder, 0, 'the healthy keep their order')
  assert.equal(gone.count, stalled, 'all who are stalled are let go')
  assert.ok(growth <= bound, 'memory')
  assert.ok(readers.latency(0.99) < BOUND_P99, 'latency')
})

/**
 * Nobody is stalled before the kernel takes no more for him: until then the hub writes to ten thousand who seem to read. That is told,
 * and is no part of the figures.
 */
async function fill(readers: HealthyReaders): Promise<string> {
  await readers.publish(FILL_BYTES / size / FILL_SECONDS, FILL_SECONDS)
  await until(() => readers.complete, 'the kernel to be full', 120_000)
  const line = `while the kernel filled up (${FILL_BYTES / 1024} KiB for each): p50 ${readers.latency(0.5)} ms, p99 ${readers.latency(0.99)} ms, most ${readers.latency(1)} ms; what waited then was far from maxPendingBytes`
  readers.forgetLatency()
  return line
}

function tlsFlags(t: TestContext): string[] {
  if (!values.secure) return []
  const folder = temporaryFolder(t)
  selfSigned(folder, 'hub')
  return ['--tls-cert', join(folder, 'hub.pem'), '--tls-key', join(folder, 'hub.key')]
}

/** In one process, which has as many files as the hub. */
async function openStalled(t: TestContext, clients: readonly [string, string], task: StalledTask): Promise<void> {
  const child = spawn(clients[0], [clients[1], JSON.stringify(task)], { stdio: ['pipe', 'pipe', 'inherit'], env: { ...process.env, NODE_OPTIONS: '' } })
  t.after(() => void child.stdin.end())
  let said = ''
  child.stdout.on('data', (chunk) => (said += chunk))
  await until(() => said.includes('\n') || child.exitCode !== null, 'the stalled', 300_000)
  assert.deepEqual(JSON.parse(said), { opened: task.count })
}

/** Open files that a process may have; Node raises its own limit to the hard one. */
function openFiles(): number {
  const limit = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  return limit === 'unlimited' ? Infinity : Number(limit)
}

function memory(pid: number, what: 'VmRSS' | 'VmHWM'): number {
  return Number(new RegExp(`^${what}:\\s+(\\d+) kB`, 'm').exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024
}

/** `/proc` counts in hundredths of a second. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / 100
}

/** Bytes for all sockets of the machine: from the first number on the kernel looks, from the second it saves, the third is the most. */
function kernelBounds(): [number, number, number] {
  const [low = 0, pressure = 0, most = 0] = readFileSync('/proc/sys/net/ipv4/tcp_mem', 'utf8').trim().split(/\s+/).map((pages) => Number(pages) * PAGE)
  return [low, pressure, most]
}

function kernelPages(): number {
  return Number(/^TCP:.* mem (\d+)/m.exec(readFileSync('/proc/net/sockstat', 'utf8'))?.[1])
}

function mib(bytes: number): number {
  return Math.round(bytes / MIB)
}

interface LetGo {
  readonly time: string
  readonly count?: number
  readonly leftOutElsewhere?: number
}

/** What the log says of those who were let go. */
function letGo(log: string): { count: number; lines: number; first: number; last: number } {
  const lines = log.split('\n').filter((line) => line.includes('"msg":"slow consumers were let go"') || line.includes('"msg":"a slow consumer was let go"')).map((line) => JSON.parse(line) as LetGo)
  return {
    count: lines.reduce((sum, { count = 1, leftOutElsewhere = 0 }) => sum + count + leftOutElsewhere, 0),
    lines: lines.length,
    first: Math.min(...lines.map(({ time }) => Date.parse(time))),
    last: Math.max(...lines.map(({ time }) => Date.parse(time))),
  }
}
