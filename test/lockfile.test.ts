import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

interface Locked {
  readonly optionalDependencies?: Readonly<Record<string, string>>
  readonly resolved?: string
}

const { packages } = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8')) as { packages: Readonly<Record<string, Locked>> }

test('the lock file has every package that another one has for some platform: npm ci refuses it otherwise, on any', () => {
  const names = new Set(Object.keys(packages).map((path) => path.replace(/^.*node_modules\//, '')))
  const missing = Object.entries(packages).flatMap(([path, { optionalDependencies = {} }]) => Object.keys(optionalDependencies).filter((name) => !names.has(name)).map((name) => `${path}: ${name}`))
  assert.deepEqual(missing, [])
})

test('no host of a registry stands in the lock file', () => {
  assert.deepEqual(Object.entries(packages).filter(([, { resolved }]) => resolved !== undefined && /^https?:/.test(resolved)).map(([path]) => path), [])
})
