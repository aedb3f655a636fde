import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LIMITS } from '../../src/core/limits.ts'
import { readValue } from '../../src/server/option-values.ts'
import { defineConfig, envName, flagName, OPTIONS, type Option } from '../../src/server/options.ts'

const all = Object.entries(OPTIONS) as [string, Option][]

test('the names that other parts build on are there', () => {
  for (const name of ['addr', 'origin', 'dataDir', 'rules', 'tlsCert', 'tlsKey', 'logLevel', 'pinghub', 'sse', 'drainTime']) assert.ok(Object.hasOwn(OPTIONS, name), name)
  assert.equal(OPTIONS.addr.default, ':8081')
  assert.equal(OPTIONS.drainTime.default, 5_000)
  assert.equal(OPTIONS.maxMessageBytes.default, 1_048_576)
  assert.equal(OPTIONS.maxFrameBytes.default, 65_536)
})

test('every limit is an option of the same name, with its default, its least value and its reason', () => {
  for (const [name, limit] of Object.entries(LIMITS)) {
    const option = OPTIONS[name as keyof typeof LIMITS] as Option
    assert.deepEqual([option.default, option.min, option.help], [limit.default, limit.min, limit.reason])
    assert.equal(option.kind, limit.unit === 'bytes' ? 'bytes' : limit.unit === 'ms' ? 'time' : 'count')
  }
})

test('every default is a value that the option itself would take', () => {
  for (const [name, option] of all) {
    const read = readValue(option, option.default)
    assert.ok('value' in read, `${name}: ${JSON.stringify(read)}`)
    assert.deepEqual(read.value, option.default, name)
  }
})

test('every option says in a line what it is, and what its value looks like', () => {
  for (const [name, { help, value }] of all) {
    assert.ok(help.length > 10 && !help.includes('\n'), name)
    assert.ok(value.length > 0, name)
  }
})

test('a name becomes a flag and an environment variable, and no two become the same', () => {
  assert.deepEqual([flagName('maxMessageBytes'), envName('maxMessageBytes')], ['max-message-bytes', 'WAYSTATION_MAX_MESSAGE_BYTES'])
  assert.deepEqual([flagName('addr'), envName('addr')], ['addr', 'WAYSTATION_ADDR'])
  assert.deepEqual([flagName('dataDir'), envName('dataDir')], ['data-dir', 'WAYSTATION_DATA_DIR'])
  for (const write of [flagName, envName]) assert.equal(new Set(all.map(([name]) => write(name))).size, all.length)
  for (const [name] of all) {
    assert.match(flagName(name), /^[a-z]+(-[a-z]+)*$/)
    assert.match(envName(name), /^WAYSTATION(_[A-Z]+)+$/)
    assert.ok(!['help', 'config'].includes(name), 'these flags are taken')
  }
})

test('a configuration is given back as it is', () => {
  const config = { addr: ':1', maxConnections: '5', rules: [{ topics: '*', keep: { messages: 1, age: '1m' } }] } as const
  assert.equal(defineConfig(config), config)
})
