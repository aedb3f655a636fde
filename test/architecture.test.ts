import assert from 'node:assert/strict'
import { fileURLToPath } from 'node:url'
import { test } from 'node:test'
import { sourceFiles, violations, type Files } from './support/architecture.ts'

const root = fileURLToPath(new URL('..', import.meta.url))
const real = sourceFiles(root)

/** The real tree with one file put in or replaced. */
function planted(path: string, text: string): Files {
  return new Map([...real, [path, text]])
}

test('the source keeps to its layers, has no cycle and no overlong file', () => {
  assert.deepEqual(violations(real), [])
  assert.ok(real.size > 40, `only ${real.size} source files were seen`)
})

const faults: [string, Files, RegExp][] = [
  ['no files at all', new Map(), /no source file was seen/],
  ['a core file that imports a transport', planted('src/core/x.ts', "import { bare } from '../transports/pinghub/encoders.ts'\n"), /core may not know transports/],
  ['an http file that imports the core', planted('src/http/x.ts', "import type { Log } from '../core/ports.ts'\n"), /http may not know core/],
  ['a transport that imports another', planted('src/transports/sse/x.ts', "import { bare } from '../pinghub/encoders.ts'\n"), /do not know one another/],
  ['a dynamic import upwards', planted('src/protocol/x.ts', "const x = await import('../core/hub.ts')\n"), /protocol may not know core/],
  ['a re-export upwards', planted('src/core/x.ts', "export { createServer } from '../server/create-server.ts'\n"), /core may not know server/],
  ['a side-effect import upwards', planted('src/core/x.ts', "import '../server/create-server.ts'\n"), /core may not know server/],
  ['a file of 401 lines', planted('src/core/x.ts', '\n'.repeat(400)), /401 lines/],
  ['a cycle', new Map([...real, ['src/core/x.ts', "import './y.ts'\n"], ['src/core/y.ts', "import './x.ts'\n"]]), /a cycle: src\/core\/x.ts -> src\/core\/y.ts -> src\/core\/x.ts/],
  ['a clock in the core', planted('src/core/x.ts', 'export const now = () => Date.now()\n'), /uses Date.now/],
  ['a timer in a protocol', planted('src/protocol/x.ts', 'setTimeout(() => {}, 1)\n'), /uses setTimeout/],
  ['chance in the core', planted('src/core/x.ts', 'export const x = Math.random()\n'), /uses Math.random/],
  ['random bytes in the core', planted('src/core/x.ts', "import { randomBytes } from 'node:crypto'\n"), /imports node:crypto/],
  ['random bytes beside a hash in a protocol', planted('src/protocol/x.ts', "import { createHash, randomBytes } from 'node:crypto'\n"), /imports node:crypto/],
  ['zstd in another file of a protocol', planted('src/protocol/lonelyps/x.ts', "import { zstdCompressSync } from 'node:zlib'\n"), /x.ts imports node:zlib/],
  ['more of zlib than zstd', planted('src/protocol/lonelyps/zstd.ts', "import { constants, gzipSync } from 'node:zlib'\n"), /zstd.ts imports node:zlib/],
  ['inflating in another file of a protocol', planted('src/protocol/etf/x.ts', "import { inflateSync } from 'node:zlib'\n"), /x.ts imports node:zlib/],
  ['more of zlib than inflating', planted('src/protocol/etf/inflate.ts', "import { inflateSync, zstdDecompressSync } from 'node:zlib'\n"), /inflate.ts imports node:zlib/],
  ['more of zlib than deflating', planted('src/services/compress.ts', "import { gzipSync } from 'node:zlib'\n"), /compress.ts imports node:zlib/],
  ['a clock in a connection of the hub', planted('src/transports/lonelyps/socket/x.ts', 'export const now = () => Date.now()\n'), /socket\/x.ts uses Date.now/],
  ['chance beside a hash in a connection of the subscriber', planted('src/subscriber/socket/session.ts', "import { hash, randomBytes } from 'node:crypto'\n"), /session.ts imports node:crypto/],
  ['a file in the core', planted('src/core/x.ts', "import { readFileSync } from 'node:fs'\n"), /imports node:fs/],
  ['an import of nothing', planted('src/core/x.ts', "import './nowhere.ts'\n"), /which is not there/],
  ['a count that a module of services keeps', planted('src/services/x.ts', 'let count = 0\n'), /keeps something for all worlds of the process: let count/],
  ['a table that a module of services keeps', planted('src/services/x.ts', 'const pools = new Map<string, number>()\n'), /all worlds of the process: const pools/],
  ['an unknown layer', planted('src/managers/x.ts', "import '../core/hub.ts'\n"), /no layer "managers"/],
]

for (const [name, files, expected] of faults) {
  test(`the layer test catches ${name}`, () => {
    assert.match(violations(files).join('\n'), expected)
  })
}
