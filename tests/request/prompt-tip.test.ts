import { describe, expect, it } from 'vitest';
import { en } from '../../src/bot/sentences/en.ts';
import { renderTip } from '../../src/bot/sentences/render.ts';
import { zh } from '../../src/bot/sentences/zh.ts';
import { promptTip } from '../../src/request/prompt-tip.ts';

const tip = (prompt: string, say = en): string | undefined => {
  const found = promptTip(prompt);
  return found && renderTip(found, say);
};

describe('a prompt', () => {
  it.each([
    '',
    '   ',
    'zoom in',
    'slowly zooming in on the cat',
    'Camera pans left, waves rolling',
    'pan-left',
    'left',
    'up',
    'the leaves sway in the wind',
    'clouds drifting over the mountains, amazing light',
    'her hair blows in the breeze',
    'static shot',
    'still',
    'a dog runs towards the camera',
    'rain falls on the piano',
    'time-lapse of the sky',
    'timelapse',
    'freeze everything',
    'rotate clockwise',
    'hovering',
    'la la land dance',
    'café terrace, people walking',
    'a señor dancing with the senorita',
    'die hard style explosion, camera shaking',
    'El Niño storm waves crashing',
    'Москва night, cars driving on a long street past the big red walls of the old town',
    '慢慢推近',
    '镜头缓缓左移，海浪翻滚',
    '树叶随风飘动',
    '静止',
    'wait for it, she blinks',
    'make the camera go backwards',
    'look up at the stars',
    'handheld',
  ])('%j gets no tip', (prompt) => {
    expect(tip(prompt)).toBeUndefined();
  });

  it.each([
    'a cat',
    'my house in the evening',
    'a stunning painting of a king',
    'portrait',
    '一只猫',
    'a beach',
  ])('%j lacks motion', (prompt) => {
    expect([en.help.noMotion, en.help.vague('stunning')]).toContain(tip(prompt));
  });

  it('that only says how good it shall be is told so, with the word', () => {
    expect(tip('make it AMAZING')).toBe(en.help.vague('amazing'));
    expect(tip('epic, cinematic')).toBe(en.help.vague('epic'));
    expect(tip('做得唯美一点', zh)).toBe(zh.help.vague('唯美'));
    expect(tip('amazing slow zoom')).toBeUndefined();
  });

  it('with writing in the picture is warned', () => {
    expect(tip('zoom in on the text "hello"')).toBe(en.help.text);
    expect(tip('the logo spins')).toBe(en.help.text);
    expect(tip('字幕慢慢上移', zh)).toBe(zh.help.text);
    expect(tip('contextual zoom in')).toBeUndefined();
  });

  it.each([
    'Die Kamera bewegt sich langsam nach vorne',
    'langsam heranzoomen, die Haare wehen im Wind und die Wolken ziehen',
    'la caméra avance lentement vers le chat',
    'les vagues bougent doucement',
    'la cámara se acerca lentamente a la mujer',
    'las olas se mueven con el viento',
    'la camera si muove lentamente verso il mare',
    'câmera devagar para a esquerda, ondas',
    'камера медленно приближается',
    'カメラがゆっくりズームイン',
    '천천히 확대',
    'الكاميرا تقترب ببطء',
    'कैमरा धीरे धीरे पास आता है',
    'kamera powoli w lewo',
    'les feuilles',
    '猫が歩く',
    'con mèo đang chạy',
  ])('%j is in a language that is read badly', (prompt) => {
    expect(tip(prompt)).toBe(en.help.language);
  });
});
