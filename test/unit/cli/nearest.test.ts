import t from 'tap';
import { nearest } from '../../../src/cli/nearest.js';

const NAMES = ['iface', 'iface-regex', 'ip-masq', 'kubeconfig-file', 'kube-subnet-mgr', 'workers', 'v'];

t.test('nearest returns the name with a letter too many, too few, wrong, or swapped', async (t) => {
  for (const word of ['iffce', 'ifaces', 'ifce', 'ifcae', 'iface'])
    t.equal(nearest(word, NAMES), 'iface', word);
  t.equal(nearest('ipmasq', NAMES), 'ip-masq');
});

t.test('nearest returns the one name that begins with the word', async (t) => {
  t.equal(nearest('kubeconfig', NAMES), 'kubeconfig-file');
  t.equal(nearest('kube', NAMES), undefined, 'two names do');
});

t.test('nearest returns nothing for a word that is like no name', async (t) => {
  for (const word of ['x', 'foo', 'metrics', '']) t.equal(nearest(word, NAMES), undefined, word);
});
