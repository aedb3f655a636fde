import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { ERLANG } from '../../support/parts.ts'

/** A real Erlang that reads and writes terms. */
export interface Erlang {
  /** Each read and written again; empty where Erlang refuses it. */
  again(terms: readonly Uint8Array[]): Promise<Buffer[]>
  /** Terms that Erlang draws. */
  draw(seed: number, count: number): Promise<Buffer[]>
  /** Whether both of each pair are one and the same term. */
  same(pairs: readonly (readonly [Uint8Array, Uint8Array])[]): Promise<boolean[]>
  [Symbol.asyncDispose](): Promise<void>
}

const SOURCE = fileURLToPath(new URL('oracle.erl', import.meta.url))
const START = '[Source] = init:get_plain_arguments(), {ok, oracle, Code} = compile:file(Source, [binary]), {module, oracle} = code:load_binary(oracle, Source, Code), oracle:main().'

export function startErlang(): Erlang {
  const child = spawn(ERLANG.path as string, ['-noinput', '-eval', START, '-extra', SOURCE], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const waiting: ((answer: Buffer) => void)[] = []
  let chunks: Buffer[] = []
  let held = 0
  child.stdout.on('data', (chunk: Buffer) => {
    chunks.push(chunk)
    held += chunk.length
    for (;;) {
      if (held < 4) return
      const size = (chunks[0] as Buffer).length >= 4 ? (chunks[0] as Buffer).readUInt32BE() : Buffer.concat(chunks).readUInt32BE()
      if (held < 4 + size) return
      const all = Buffer.concat(chunks)
      waiting.shift()?.(all.subarray(4, 4 + size))
      chunks = [all.subarray(4 + size)]
      held -= 4 + size
    }
  })

  function ask(operation: number, ...parts: readonly Uint8Array[]): Promise<Buffer> {
    const question = Buffer.concat([Buffer.of(operation), ...parts])
    child.stdin.write(Buffer.concat([u32(question.length), question]))
    const answer = new Promise<Buffer>((resolve) => void waiting.push(resolve))
    return Promise.race([answer, ended.then(([code]) => Promise.reject(new Error(`Erlang has ended with ${code}`)))])
  }

  return {
    again: async (terms) => split(await ask(1, ...terms.flatMap(framed))),
    draw: async (seed, count) => split(await ask(2, u32(seed), u32(count))),
    same: async (pairs) => [...(await ask(3, ...pairs.flatMap(([one, other]) => [...framed(one), ...framed(other)])))].map((byte) => byte === 1),
    async [Symbol.asyncDispose]() {
      child.stdin.end()
      await ended
    },
  }
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

function framed(bytes: Uint8Array): Uint8Array[] {
  return [u32(bytes.length), bytes]
}

function split(answer: Buffer): Buffer[] {
  const parts: Buffer[] = []
  for (let at = 0; at < answer.length; ) {
    const size = answer.readUInt32BE(at)
    parts.push(answer.subarray(at + 4, at + 4 + size))
    at += 4 + size
  }
  return parts
}
