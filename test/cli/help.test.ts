import assert from 'node:assert/strict'
import { test, type TestContext } from 'node:test'
import { check } from '../../src/cli/check.ts'
import { helpOf } from '../../src/cli/command.ts'
import { keys } from '../../src/cli/keys.ts'
import { registry } from '../../src/cli/registry.ts'
import { serve } from '../../src/cli/serve.ts'
import { setup } from '../../src/cli/setup.ts'
import { start } from '../../src/cli/start.ts'
import { wrapped } from '../../src/cli/wrapped.ts'
import { temporaryFolder } from '../support/certificates.ts'
import { waystation } from '../support/process.ts'

async function ran(t: TestContext, ...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = waystation(t, args, { cwd: temporaryFolder(t) })
  const { code } = await child.exited
  return { code, out: child.stdout(), err: child.stderr() }
}

test('no line of a help is wider than a terminal of 80 columns', () => {
  for (const command of [serve, start, check, setup, keys, registry]) {
    assert.deepEqual(helpOf(command).split('\n').filter((line) => line.length > 80), [], command.name)
  }
})

test('a paragraph is broken at spaces, and a word that is too long is left whole', () => {
  const long = 'x'.repeat(90)
  const words = Array.from({ length: 15 }, () => 'word').join(' ')
  assert.equal(wrapped(`${words} four five ${long} end`, '  ', '    '), `  ${words}\n    four five\n    ${long}\n    end`)
  assert.equal(wrapped(`${words} abc`, '  '), `  ${words} abc`)
})

test('the help of keys and registry says what each word does, and shows the options that say which database', () => {
  for (const command of [keys, registry]) {
    const help = helpOf(command)
    for (const word of Object.keys(command.words ?? {})) assert.match(help, new RegExp(`^  ${word} +\\w`, 'm'), command.name)
    assert.ok(Object.keys(command.words ?? {}).length >= 3)
    assert.deepEqual([help.includes('--database FILE|URL'), help.includes('--data-dir DIR'), help.includes('--max-connections')], [true, true, false])
  }
})

test('help lists the commands, help and a command tell more of it, and what is no command is refused', async (t) => {
  const [all, one, flag, none] = await Promise.all([ran(t, 'help'), ran(t, 'help', 'keys'), ran(t, 'keys', '--help'), ran(t, 'help', 'kesy')])
  assert.deepEqual([all.code, all.out.split('\n').filter((line) => line.length > 80)], [0, []])
  assert.deepEqual([one.code, one.out, one.err], [0, helpOf(keys), ''])
  assert.equal(flag.out, one.out)
  assert.deepEqual([none.code, none.out, none.err], [2, '', 'waystation: kesy is no command; did you mean keys? "waystation help" lists them.\n'])
})

test('a command line that cannot be understood is answered with what is wrong, and nothing before it', async (t) => {
  assert.deepEqual(await ran(t, 'keys', 'add'), { code: 2, out: '', err: 'waystation keys: say which domain: waystation keys add --domain DOMAIN\n' })
})
